package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// How often and how long the migration is tried.
const (
	attempts     = 60 // commands run again after they were killed or undid themselves
	calmAttempts = 3  // the same without chaos: a busy machine may need a second try
	copyTimeout  = 10 * time.Minute
)

// migrate moves the entity users while the apps keep writing it.
func (w *World) migrateUsers(ctx context.Context, r *Report) error {
	w.screen.heading("III. The users move from MongoDB to DynamoDB")
	if err := w.runVerb(ctx, "plan"); err != nil {
		return err
	}
	w.screen.step("plan: every document fits")
	copying := make(chan error, 1)
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { copying <- w.keepMigrateRunning(following, r) }()

	began := time.Now()
	s, err := w.awaitShadowing(ctx, copying)
	if err != nil {
		return err
	}
	w.screen.step("copied %s documents in %.1f s; their changes are applied as they happen%s", number(s.Copied.Documents),
		time.Since(began).Seconds(), w.killsSoFar(r))
	if err := w.runUntilDone(ctx, r, "verify"); err != nil {
		return err
	}
	if s, err = w.migration(ctx); err != nil {
		return err
	}
	if s.Verification == nil {
		return errors.New("the verification left no record")
	}
	r.Documents, r.Compared, r.Mismatches = s.Copied.Documents, s.Verification.Documents, s.Verification.Mismatches
	w.screen.step("verified: %s documents compared, %s mismatches", number(r.Compared), number(r.Mismatches))
	if err := w.runUntilDone(ctx, r, "cutover"); err != nil {
		return err
	}
	if s, err = w.migration(ctx); err != nil {
		return err
	}
	if s.Cutover != nil {
		r.WriteHoldMS = float64(s.Cutover.Held)
	}
	if s.Owner != ownership.DynamoDB {
		return fmt.Errorf("after the cut-over the owner is %s", s.Owner)
	}
	w.screen.step("cut over: DynamoDB owns the users (epoch %d), and MongoDB refuses writes to them%s", s.Epoch, w.killsSoFar(r))
	select {
	case err := <-copying:
		return err
	case <-time.After(time.Minute):
		return errors.New("the copying process did not end after the switch")
	}
}

func (w *World) killsSoFar(r *Report) string {
	if !w.cfg.Chaos {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf(" (%d SIGKILLs so far)", r.MigrateKills)
}

func (w *World) runVerb(ctx context.Context, verb string) error {
	return w.run(ctx, verb, nil, "banyan-migrate", verb, "--plan", w.path("users.yaml"))
}

func (w *World) migration(ctx context.Context) (s migrate.Status, err error) {
	var out bytes.Buffer
	for range attempts { // faults are injected into this command's calls as well
		out.Reset()
		if err = w.run(ctx, "status", &out, "banyan-migrate", "status", "--plan", w.path("users.yaml"), "--json"); err == nil {
			return s, lastJSON(out.Bytes(), &s)
		}
	}
	return s, err
}

// keepMigrateRunning keeps `banyan-migrate run` running until it ends by itself, which it
// does when the owner has changed. Under chaos it is killed again and again.
func (w *World) keepMigrateRunning(ctx context.Context, r *Report) error {
	k := newKiller(w.cfg.Seed)
	for ctx.Err() == nil {
		p, err := w.start("run", nil, "banyan-migrate", "run", "--plan", w.path("users.yaml"), "--json")
		if err != nil {
			return err
		}
		killed := w.waitOrKill(ctx, p, k, r)
		if !killed {
			return p.exitError()
		}
	}
	return ctx.Err()
}

// waitOrKill waits for a process and measures its memory; under chaos it kills it at a
// random time.
func (w *World) waitOrKill(ctx context.Context, p *process, k *killer, r *Report) (killed bool) {
	var killAt <-chan time.Time
	if w.cfg.Chaos {
		killAt = time.After(k.lifetime())
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-p.done:
			return false
		case <-look.C:
			w.mu.Lock()
			r.MigratePeakBytes = max(r.MigratePeakBytes, peakMemory(p.cmd.Process.Pid))
			w.mu.Unlock()
		case <-ctx.Done():
			p.kill()
			return true
		case <-killAt:
			p.kill()
			w.mu.Lock()
			r.MigrateKills++
			w.mu.Unlock()
			return true
		}
	}
}

// runUntilDone runs a verb until it succeeds: under chaos it is killed at random times,
// and a cut-over that exceeds its budget undoes itself. The last attempts are not
// killed.
func (w *World) runUntilDone(ctx context.Context, r *Report, verb string) error {
	k := newKiller(w.cfg.Seed + uint64(len(verb)))
	var err error
	for i := range attempts {
		var p *process
		if p, err = w.start(verb, nil, "banyan-migrate", verb, "--plan", w.path("users.yaml"), "--json"); err != nil {
			return err
		}
		if w.cfg.Chaos && i < attempts/6 {
			if w.waitOrKill(ctx, p, k, r) {
				continue
			}
		} else {
			<-p.done
		}
		if err = p.exitError(); err == nil || ctx.Err() != nil || (!w.cfg.Chaos && i >= calmAttempts) {
			return err
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("gave up after %d attempts: %w", attempts, err)
}

// awaitShadowing waits until everything is copied and followed.
func (w *World) awaitShadowing(ctx context.Context, copying <-chan error) (migrate.Status, error) {
	deadline := time.Now().Add(copyTimeout)
	for time.Now().Before(deadline) {
		s, err := w.migration(ctx)
		if err != nil {
			return s, err
		}
		if s.Phase == ownership.Shadowing {
			return s, nil
		}
		w.screen.progress("%s of about %s documents copied", number(s.Copied.Documents), number(s.Copied.Of))
		select {
		case err := <-copying:
			return s, fmt.Errorf("the copying process ended early: %w", errors.Join(err, ctx.Err()))
		case <-time.After(150 * time.Millisecond):
		}
	}
	return migrate.Status{}, fmt.Errorf("not copied after %s", copyTimeout)
}

// sampleUsers reads some of the users who were there before.
func (w *World) sampleUsers(ctx context.Context, n int) (ids []string, err error) {
	err = w.withMongo(ctx, func(db *mongo.Database) error {
		cursor, err := db.Collection("users").Find(ctx, bson.D{}, options.Find().SetLimit(int64(n)))
		if err != nil {
			return fmt.Errorf("read some users: %w", err)
		}
		for cursor.Next(ctx) {
			ids = append(ids, text(cursor.Current, "_id"))
		}
		return cursor.Err()
	})
	if err == nil && len(ids) == 0 {
		err = errors.New("the monolith has no users")
	}
	return ids, err
}

// compareUsers is the audit's own comparison, after the switch: what MongoDB
// had when it was fenced is in DynamoDB, byte for byte where the service has
// not written since, and every user who was published that it exists does.
func (w *World) compareUsers(ctx context.Context, t *traffic, r *Report) error {
	entity, err := plan.Parse("users.yaml", usersPlan())
	if err != nil {
		return err
	}
	there := map[string]bool{}
	differ := func(id, how string) {
		r.Mismatches++
		if len(r.Details) < 2*shownErrors {
			r.Details = append(r.Details, "user "+id+" "+how)
		}
	}
	err = w.withMongo(ctx, func(db *mongo.Database) error {
		return eachDocument(ctx, db.Collection("users"), func(d bson.Raw) {
			id := text(d, "_id")
			there[id] = true
			if how := w.compareUser(ctx, entity.Codec(), id, d); how != "" {
				differ(id, how)
			}
		})
	})
	if err != nil {
		return err
	}
	if len(there) < len(t.others) {
		return fmt.Errorf("the fenced collection has only %d documents", len(there))
	}
	for _, m := range t.signed {
		if item, err := w.userItem(ctx, m.id); err != nil {
			return err
		} else if len(item) == 0 {
			differ(m.id, "signed up and is not in DynamoDB")
		}
	}
	return nil
}

func (w *World) compareUser(ctx context.Context, c *codec.Codec, id string, d bson.Raw) (how string) {
	item, err := w.userItem(ctx, id)
	if err != nil {
		return "cannot be read: " + err.Error()
	}
	if len(item) == 0 {
		return "is in MongoDB and not in DynamoDB"
	}
	if meta, ok := item["_banyan"].(*types.AttributeValueMemberM); ok && meta.Value["e"] != nil {
		return "" // written by the service since the switch
	}
	got, err := c.Decode(item)
	if err != nil {
		return "cannot be decoded: " + err.Error()
	}
	if !bytes.Equal(got, d) {
		return fmt.Sprintf("differs: %s in MongoDB, %s in DynamoDB", d, got)
	}
	return ""
}

func (w *World) userItem(ctx context.Context, id string) (map[string]types.AttributeValue, error) {
	out, err := w.aws.dynamodb.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: aws.String("users"), ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: id}},
	})
	if err != nil {
		return nil, fmt.Errorf("read user %s: %w", id, err)
	}
	return out.Item, nil
}

func (w *World) withMongo(ctx context.Context, do func(*mongo.Database) error) error {
	client, err := mongo.Connect(options.Client().ApplyURI(w.vars["MONGODB_URI"]))
	if err != nil {
		return fmt.Errorf("connect to MongoDB: %w", err)
	}
	err = do(client.Database(w.database))
	return errors.Join(err, client.Disconnect(context.WithoutCancel(ctx)))
}
