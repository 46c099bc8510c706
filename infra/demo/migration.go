package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// How often and how long the migration is tried.
const (
	attempts     = 60 // commands run again after they were killed or undid themselves
	calmAttempts = 3  // the same without chaos: a busy machine may need a second try
	copyTimeout  = 10 * time.Minute
)

// migrateAll moves the entities one after the other while the apps keep writing them. The first
// is rolled back and cut over again, in the end while the last one is cut over.
func (w *World) migrateAll(ctx context.Context, r *Report) error {
	w.screen.heading("III. Users, relationships and posts move from MongoDB to DynamoDB")
	if w.cfg.Chaos {
		if err := w.startNetwork(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := map[string]*move{}
	for _, name := range entities {
		m := &move{World: w, r: r, name: name, following: make(chan error, 1)}
		if err := m.begin(ctx); err != nil {
			return err
		}
		all[name] = m
		var err error
		switch name {
		case "users":
			err = m.changeOwners(ctx, "cutover", "rollback", "cutover")
		case "relationships":
			err = m.changeOwners(ctx, "cutover")
		case "posts":
			w.screen.step("the posts are cut over while the users are rolled back")
			both, ctx := errgroup.WithContext(ctx)
			both.Go(func() error { return m.changeOwners(ctx, "cutover") })
			both.Go(func() error { return all["users"].changeOwners(ctx, "rollback", "cutover") })
			err = both.Wait()
		}
		if err != nil {
			return fmt.Errorf("migrate %s: %w", name, err)
		}
	}
	cancel()
	for _, m := range all {
		if err := <-m.following; !errors.Is(err, context.Canceled) {
			return err
		}
		if again, err := m.status(context.WithoutCancel(ctx)); err != nil || again.Copied != m.copied {
			return fmt.Errorf("after the changes of owner %+v of %s is copied, and it was %+v (%w)", again.Copied, m.name, m.copied, err)
		}
	}
	return nil
}

// move is the migration of one entity.
type move struct {
	*World
	r         *Report
	name      string
	copied    control.Copied
	following chan error // the end of banyan-migrate run
}

// begin copies the entity, and follows its changes until ctx ends.
func (m *move) begin(ctx context.Context) error {
	if err := m.runUntilDone(ctx, "plan"); err != nil {
		return err
	}
	m.screen.step("plan: every document of %s fits", m.name)
	if err := m.encapsulate(ctx); err != nil {
		return err
	}
	go func() { m.following <- m.keepMigrateRunning(ctx) }()
	began := time.Now()
	s, err := m.awaitShadowing(ctx)
	if err != nil {
		return err
	}
	m.copied = s.Copied
	m.r.Documents += s.Copied.Documents
	m.screen.step("copied %s documents of %s in %.1f s; their changes are applied as they happen%s", number(s.Copied.Documents), m.name,
		time.Since(began).Seconds(), m.killsSoFar())
	return nil
}

// settleTime is how long each owner serves the traffic.
const settleTime = time.Second

// changeOwners makes one database after the other the owner.
func (m *move) changeOwners(ctx context.Context, verbs ...string) error {
	for _, verb := range verbs {
		if err := m.changeOwner(ctx, verb); err != nil {
			return err
		}
		select {
		case err := <-m.following:
			return fmt.Errorf("`banyan-migrate run` ended before the migration: %w", err)
		case <-time.After(settleTime): // with traffic
		}
	}
	return nil
}

// changeOwner verifies, and has a verb make a store the owner.
func (m *move) changeOwner(ctx context.Context, verb string) error {
	if err := m.runUntilDone(ctx, "verify"); err != nil {
		return err
	}
	s, err := m.status(ctx)
	if err != nil {
		return err
	}
	if s.Verification == nil {
		return errors.New("the verification left no record")
	}
	m.mu.Lock()
	m.r.Compared += s.Verification.Documents
	m.r.Mismatches += s.Verification.Mismatches
	m.mu.Unlock()
	m.screen.step("verified: %s documents of %s compared, %s mismatches", number(s.Verification.Documents), m.name, number(s.Verification.Mismatches))
	if err := m.runUntilDone(ctx, verb); err != nil {
		return err
	}
	if s, err = m.status(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	if s.Cutover != nil {
		m.r.WriteHoldMS = max(m.r.WriteHoldMS, float64(s.Cutover.Held))
	}
	m.mu.Unlock()
	owner, done := ownership.DynamoDB, "cut over: DynamoDB owns the %s (epoch %d), and MongoDB refuses writes to them%s"
	if verb == "rollback" {
		owner, done = ownership.MongoDB, "rolled back: MongoDB owns the %s again (epoch %d), with all that was written to DynamoDB%s"
	}
	if s.Owner != owner {
		return fmt.Errorf("after %s the owner is %s", verb, s.Owner)
	}
	m.screen.step(done, m.name, s.Epoch, m.killsSoFar())
	return nil
}

// encapsulate gives the collection its physical name. Under chaos it is given back once,
// and taken again.
func (m *move) encapsulate(ctx context.Context) error {
	verb := []string{"encapsulate", "--watch", "2s", "--accept-gap"}
	if m.cfg.Chaos {
		if err := m.runUntilDone(ctx, verb[0], verb[1:]...); err != nil {
			return err
		}
		if err := m.runUntilDone(ctx, "abandon"); err != nil {
			return err
		}
		m.screen.step("encapsulated, and abandoned: the collection has its public name again%s", m.killsSoFar())
	}
	if err := m.runUntilDone(ctx, verb[0], verb[1:]...); err != nil {
		return err
	}
	m.screen.step("encapsulated: the collection has a name that only the %s service knows, and MongoDB refuses writes by its old one", m.name)
	return nil
}

func (m *move) killsSoFar() string {
	if !m.cfg.Chaos {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf(" (%d SIGKILLs so far)", m.r.MigrateKills)
}

func (m *move) status(ctx context.Context) (s migrate.Status, err error) {
	var out bytes.Buffer
	for range attempts { // faults are injected into this command's calls as well
		out.Reset()
		if err = m.run(ctx, "status", &out, "banyan-migrate", "status", "--plan", m.path(m.name+".yaml"), "--json"); err == nil {
			return s, lastJSON(out.Bytes(), &s)
		}
	}
	return s, err
}

// keepMigrateRunning keeps `banyan-migrate run` running until ctx ends: it follows the
// changes, or the way back. Under chaos it is killed again and again.
func (m *move) keepMigrateRunning(ctx context.Context) error {
	k := newKiller(m.cfg.Seed + uint64(len(m.name)))
	for ctx.Err() == nil {
		p, err := m.start("run-"+m.name, nil, "banyan-migrate", "run", "--plan", m.path(m.name+".yaml"), "--json")
		if err != nil {
			return err
		}
		if killed := m.waitOrKill(ctx, p, k); !killed {
			return p.exitError()
		}
	}
	return ctx.Err()
}

// waitOrKill waits for a process and measures its memory; under chaos it kills it at a
// random time.
func (m *move) waitOrKill(ctx context.Context, p *process, k *killer) (killed bool) {
	var killAt <-chan time.Time
	if m.cfg.Chaos {
		killAt = time.After(k.lifetime())
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-p.done:
			return false
		case <-look.C:
			m.mu.Lock()
			m.r.MigratePeakBytes = max(m.r.MigratePeakBytes, peakMemory(p.cmd.Process.Pid))
			m.mu.Unlock()
		case <-ctx.Done():
			p.kill()
			return true
		case <-killAt:
			if wait := m.untilLeasesRanOut(); wait > 0 {
				killAt = time.After(wait)
				continue
			}
			p.kill()
			m.mu.Lock()
			m.r.MigrateKills++
			m.mu.Unlock()
			return true
		}
	}
}

// runUntilDone runs a verb until it succeeds: under chaos it is killed at random times,
// and a cut-over that exceeds its budget undoes itself. The last attempts are not
// killed.
func (m *move) runUntilDone(ctx context.Context, verb string, flags ...string) error {
	k := newKiller(m.cfg.Seed + uint64(len(m.name)+len(verb)))
	var err error
	for i := range attempts {
		var p *process
		args := append([]string{"banyan-migrate", verb, "--plan", m.path(m.name + ".yaml"), "--json"}, flags...)
		if p, err = m.start(verb+"-"+m.name, nil, args...); err != nil {
			return err
		}
		if m.cfg.Chaos && i < attempts/6 {
			if m.waitOrKill(ctx, p, k) {
				continue
			}
		} else {
			<-p.done
		}
		if err = p.exitError(); err == nil || ctx.Err() != nil || (!m.cfg.Chaos && i >= calmAttempts) {
			return err
		}
		if err := backoff.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("gave up after %d attempts: %w", attempts, err)
}

// awaitShadowing waits until everything is copied and followed.
func (m *move) awaitShadowing(ctx context.Context) (migrate.Status, error) {
	deadline := time.Now().Add(copyTimeout)
	for time.Now().Before(deadline) {
		s, err := m.status(ctx)
		if err != nil {
			return s, err
		}
		if s.Phase == ownership.Shadowing {
			return s, nil
		}
		m.screen.progress("%s of about %s documents copied", number(s.Copied.Documents), number(s.Copied.Of))
		select {
		case err := <-m.following:
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

// compareDocuments is the audit's own comparison, after the switch: what MongoDB
// had when it was fenced is in DynamoDB, byte for byte where the service has
// not written since, and every user who was published that it exists does.
func (w *World) compareDocuments(ctx context.Context, t *traffic, r *Report) error {
	differ := func(entity, id, how string) {
		r.Mismatches++
		if len(r.Details) < 2*shownErrors {
			r.Details = append(r.Details, entity+" "+id+" "+how)
		}
	}
	for _, name := range entities {
		entity, n := w.plans[name], 0
		items, err := w.items(ctx, entity)
		if err != nil {
			return err
		}
		err = w.withMongo(ctx, func(db *mongo.Database) error {
			return eachDocument(ctx, db.Collection(entity.Source.Collection), func(d bson.Raw) {
				n++
				if how := compareDocument(entity.Codec(), items, d); how != "" {
					differ(name, text(d, "_id"), how)
				}
			})
		})
		if err != nil {
			return err
		}
		if name != "users" {
			continue
		}
		if n < len(t.others) {
			return fmt.Errorf("the fenced collection has only %d documents", n)
		}
		for _, m := range t.signed {
			if items[m.id] == nil {
				differ(name, m.id, "signed up and is not in DynamoDB")
			}
		}
	}
	return nil
}

func compareDocument(c *codec.Codec, items map[string]dynamo.Item, d bson.Raw) (how string) {
	item := items[text(d, "_id")]
	if item == nil {
		return "is in MongoDB and not in DynamoDB"
	}
	if s := stamp.Of(item); s.HasEpoch && !stamp.IsMongoDBs(s.Epoch) {
		return "" // written by the service since the switch
	}
	got, err := c.Decode(item)
	if err != nil {
		return "cannot be decoded: " + err.Error()
	}
	if d = c.Kept(d); !bytes.Equal(got, d) {
		return fmt.Sprintf("differs: %s in MongoDB, %s in DynamoDB", d, got)
	}
	return ""
}

// items are those of an entity's table, by their keys, which are texts here; also tombstones.
func (w *World) items(ctx context.Context, entity *plan.Plan) (map[string]dynamo.Item, error) {
	all := map[string]dynamo.Item{}
	pages := dynamodb.NewScanPaginator(w.aws.dynamodb, &dynamodb.ScanInput{TableName: &entity.Target.Table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the table %s: %w", entity.Target.Table, err)
		}
		for _, item := range page.Items {
			if stamp.Of(item).Barrier == "" {
				all[dynamo.StringOf(item, "id")] = item
			}
		}
	}
	return all, nil
}

func (w *World) withMongo(ctx context.Context, do func(*mongo.Database) error) error {
	client, err := mongo.Connect(options.Client().ApplyURI(w.vars["MONGODB_URI"]))
	if err != nil {
		return fmt.Errorf("connect to MongoDB: %w", err)
	}
	err = do(client.Database(w.database))
	return errors.Join(err, client.Disconnect(context.WithoutCancel(ctx)))
}
