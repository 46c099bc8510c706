package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/matrix"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// amongStrangers is a migration of users whose service writes through owned, while others
// do what they like to the public name, and zombies write to names that were left.
type amongStrangers struct {
	*world
	rng     *rand.Rand
	members *ledger // must be at the owner in the end
	others  *ledger // must be there, or be shown as strays
	shown   map[bson.ObjectID]bool
	found   map[bson.ObjectID]bool // by an operator under former names; guarded by others
	wg      sync.WaitGroup
}

// TestMigrationAmongStrangers: whatever is done to the names by others, what MongoDB
// acknowledged is at the owner in the end, or was shown as a stray, before which there was
// no switch; nothing that was deleted is back, and the migration ends.
func TestMigrationAmongStrangers(t *testing.T) {
	t.Parallel()
	drawn := matrix.Some(1, 6)
	for i, seed := range []uint64{1, uint64(time.Now().UnixNano())} {
		for j, replaced := range []string{"", "from start", "abandon"} {
			server := []string{"server with collectionUUID", "older server"}[(i+j)%2]
			t.Run(strings.TrimSuffix(fmt.Sprintf("seed %d, %s, %s", seed, server, replaced), ", "), func(t *testing.T) {
				drawn.Skip(t, 3*i+j)
				w := newWorld(t)
				if server == "older server" {
					w.throughOlderServer()
				}
				s := &amongStrangers{world: w, rng: rand.New(rand.NewPCG(seed, 11)),
					shown: map[bson.ObjectID]bool{}, found: map[bson.ObjectID]bool{},
					members: &ledger{names: map[bson.ObjectID]string{}}, others: &ledger{names: map[bson.ObjectID]string{}}}
				s.migrate(seed, replaced)
			})
		}
	}
}

// throughOlderServer leads everything over a proxy that refuses collectionUUID.
func (w *world) throughOlderServer() {
	w.t.Helper()
	u, err := url.Parse(w.uri)
	if err != nil {
		w.t.Fatal(err)
	}
	w.uri = ownertest.StartProxy(w.t, u.Host, ownertest.OlderThan6)
	if w.mongo, err = mongo.Connect(options.Client().ApplyURI(w.uri).SetAppName("banyan-migrate test")); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.mongo.Disconnect(ctx)
	})
	w.db = w.mongo.Database(w.db.Name())
	w.users = w.db.Collection("users")
}

func (s *amongStrangers) migrate(seed uint64, replaced string) {
	const users = 120
	s.seed(users)
	s.plan.Budgets.Hold = afterACrash
	s.engine() // makes the control table
	ctx, end := context.WithCancel(s.ctx)
	defer s.wg.Wait()
	defer end()
	for i := range 3 {
		s.startMember(ctx, i, users, rand.New(rand.NewPCG(seed, uint64(100+i))))
	}
	upserts := background(ctx, s.upsertForever)
	waitFor(s.t, func() bool {
		_, err := s.engine().Encapsulate(ctx, willing)
		return err == nil || errors.Is(err, fence.ErrStray) // it is encapsulated then, too
	})
	s.follow()
	_ = upserts()
	s.keepWhatArrived()
	for i := range 2 {
		s.startZombie(ctx, i)
	}
	c := &troubler{rng: rand.New(rand.NewPCG(seed, 7)), odds: 0.1, most: 4, count: map[string]int{}}
	began := time.Now()
	small := func(cfg *migrate.Config) { // with more time on a slow machine
		cfg.RangeSize, cfg.ChunkSize, cfg.Lease = 50, 20, time.Second+time.Since(began)/10
	}
	stopRuns := background(ctx, func(ctx context.Context) error { return s.keepRunning(ctx, c, small, replaced) })
	for n := 0; n < 20 || len(s.strays()) == 0; n++ {
		if s.interfere(); n > 1000 {
			s.t.Fatal("what strangers wrote was never set aside")
		}
		_ = pause(ctx, time.Duration(s.rng.IntN(250))*time.Millisecond)
	}
	if replaced != "" {
		s.replaceCollection()
	}
	s.switchAmongStrays(small, replaced != "")
	if err := stopRuns(); err != nil && !errors.Is(err, context.Canceled) {
		s.t.Error("run: ", err)
	}
	end()
	s.wg.Wait()
	s.mustBeEqual(s.phase().Collection)
	s.mustHaveKept()
	s.t.Logf("%d of the members' and %d of others' documents, %d shown as strays, troubles %v", len(s.members.names), len(s.others.names),
		len(s.shown), c.count)
}

// startMember runs an instance of the service, which inserts, changes and deletes users of
// its own.
func (s *amongStrangers) startMember(ctx context.Context, n, users int, rng *rand.Rand) {
	things := owned.New(mongoclient.Of(s.db), "users")
	m, err := ownership.Join(s.ctx, ownership.MemberConfig{Table: s.owners, Entity: "users", Service: "test", Probe: things.Probe})
	if err != nil {
		s.t.Fatal(err)
	}
	s.wg.Go(func() {
		for next := 0; ctx.Err() == nil; next++ {
			one, cancel := context.WithTimeout(ctx, 5*time.Second)
			_ = m.Write(one, func(ctx context.Context, g ownership.Grant) error {
				if g.Owner == ownership.DynamoDB {
					return nil
				}
				return s.writeOne(ctx, things.For(g), rng, 3*rng.IntN(users/3)+n, 1000*(n+1)+next)
			})
			cancel()
			_ = pause(ctx, slower*time.Duration(2+rng.IntN(10))*time.Millisecond)
		}
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		_ = m.Leave(out)
	})
}

func (s *amongStrangers) writeOne(ctx context.Context, h owned.Handle, rng *rand.Rand, old, next int) (err error) {
	era, id, name, did := s.members.begun(), userID(old), fmt.Sprint("name ", rng.Uint64()), true
	switch rng.IntN(4) {
	case 0:
		id = userID(next)
		err = h.InsertOne(ctx, append(bson.D{{Key: "_id", Value: id}, {Key: "name", Value: name}, {Key: "version", Value: int64(1)}},
			bson.E{Key: "email", Value: id.Hex() + "@example.com"}))
	case 1:
		name = ""
		did, err = h.DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	default:
		did, err = h.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}}, rename(name))
	}
	switch {
	case err == nil && did:
		s.members.acknowledged(era, id, name)
	case err != nil && !errors.Is(err, ownership.ErrFenced):
		s.members.unknown(id)
	}
	return err
}

// upsert writes a user by a name of the collection, as strangers do.
func (s *amongStrangers) upsert(ctx context.Context, collection string, id bson.ObjectID) {
	era := s.others.begun()
	_, err := s.db.Collection(collection).UpdateByID(ctx, id, bson.D{
		{Key: "$set", Value: bson.D{{Key: "name", Value: "a stranger's"}, {Key: "email", Value: id.Hex() + "@example.com"}}},
		{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}}, options.UpdateOne().SetUpsert(true))
	if err == nil {
		s.others.acknowledged(era, id, "a stranger's")
	}
}

func (s *amongStrangers) upsertForever(ctx context.Context) error {
	for i := 200_000; ctx.Err() == nil; i++ {
		s.upsert(ctx, "users", userID(i))
		_ = pause(ctx, slower*2*time.Millisecond)
	}
	return nil
}

// keepWhatArrived moves what strangers wrote to the collection, while it was public, to
// what must be at the owner.
func (s *amongStrangers) keepWhatArrived() {
	for id := range s.others.names {
		n, err := s.users.CountDocuments(s.ctx, bson.D{{Key: "_id", Value: id}})
		if err != nil {
			s.t.Fatal(err)
		}
		if n > 0 {
			s.members.acknowledged(s.members.begun(), id, "a stranger's")
			s.others.unknown(id)
		}
	}
}

// startZombie runs an instance of the service that sleeps through every change of the
// name: it inserts users under each that the collection has had. Where the server takes no
// collectionUUID, nothing but a view holds it back.
func (s *amongStrangers) startZombie(ctx context.Context, n int) {
	things, uuid := owned.New(mongoclient.Of(s.db), "users"), s.phase().CollectionUUID
	s.wg.Go(func() {
		former := map[string]bool{}
		for i := 300_000 + 100_000*n; ctx.Err() == nil; i++ {
			rec, err := s.owners.Load(ctx, "users")
			for name := range former {
				if err != nil || name == rec.Collection {
					continue
				}
				era, id := s.others.begun(), userID(i)
				h := things.For(ownership.Grant{Owner: ownership.MongoDB, Epoch: 1, Collection: name, CollectionUUID: uuid})
				if h.InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "name", Value: "a zombie's"}, {Key: "version", Value: int64(1)}}) == nil {
					s.others.acknowledged(era, id, "a zombie's")
				}
				i++
			}
			if rec.Collection != "" {
				former[rec.Collection] = true
			}
			_ = pause(ctx, slower*3*time.Millisecond)
		}
	})
}

// interfere does to the public name what scripts do.
func (s *amongStrangers) interfere() {
	users, number := s.db.Collection("users"), s.rng.IntN(1_000_000)
	scratch := s.db.Collection(fmt.Sprint("scratch", number))
	filled := false
	fill := func() {
		filled = true
		_, err := scratch.InsertOne(s.ctx, user(500_000+number))
		if err != nil && !mongo.IsDuplicateKeyError(err) {
			s.t.Error(err)
		}
	}
	var err error
	switch s.rng.IntN(6) {
	case 0:
		err = users.Drop(s.ctx)
	case 1:
		err = s.renameTo("users", fmt.Sprint("elsewhere", number), false)
	case 2:
		fill()
		err = s.renameTo(scratch.Name(), "users", true)
	case 3:
		fill()
		var cursor *mongo.Cursor
		if cursor, err = scratch.Aggregate(s.ctx, mongo.Pipeline{{{Key: "$out", Value: "users"}}}); err == nil {
			err = cursor.Close(s.ctx)
		}
	default:
		s.upsert(s.ctx, "users", userID(600_000+number))
		return
	}
	if err == nil { // it is their own doing that what they had written there is gone
		s.keepWhatIsSetAside()
		if filled {
			s.others.acknowledged(s.others.begun(), userID(500_000+number), "a stranger's")
		}
	}
}

// keepWhatIsSetAside forgets what others wrote, unless it was set aside as a stray.
func (s *amongStrangers) keepWhatIsSetAside() {
	kept := map[bson.ObjectID]bool{}
	for _, name := range s.strays() {
		var all []struct {
			ID bson.ObjectID `bson:"_id"`
		}
		cursor, err := s.db.Collection(name).Find(s.ctx, bson.D{})
		if err == nil {
			err = cursor.All(s.ctx, &all)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		for _, d := range all {
			kept[d.ID] = true
		}
	}
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	s.others.era++
	maps.DeleteFunc(s.others.names, func(id bson.ObjectID, _ string) bool { return !kept[id] })
}

func (s *amongStrangers) renameTo(from, to string, dropTarget bool) error {
	return s.mongo.Database("admin").RunCommand(s.ctx, bson.D{{Key: "renameCollection", Value: "legacy." + from}, {Key: "to", Value: "legacy." + to},
		{Key: "dropTarget", Value: dropTarget}}).Err()
}

// replaceCollection restores the collection from elsewhere, under its physical name.
func (s *amongStrangers) replaceCollection() {
	var docs []any
	for i := range 60 {
		docs = append(docs, user(2*i))
	}
	if _, err := s.db.Collection("restored").InsertMany(s.ctx, docs); err != nil {
		s.t.Fatal(err)
	}
	waitFor(s.t, func() bool {
		rec := s.phase()
		return rec.Move == nil && rec.Phase == ownership.Shadowing && s.renameTo("restored", rec.Collection, true) == nil
	})
	s.members.void()
	s.keepWhatIsSetAside()
}

// keepRunning runs the migration again and again, and begins afresh where it says so.
func (s *amongStrangers) keepRunning(ctx context.Context, c *troubler, small func(*migrate.Config), replaced string) error {
	afresh := false
	for ctx.Err() == nil {
		err := s.runOnce(ctx, c, small, afresh)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, migrate.ErrNotEncapsulated), strings.Contains(err.Error(), "abandoned"):
			if _, err := s.engine(small).Abandon(ctx); err == nil {
				_, err = s.engine(small).Encapsulate(ctx, willing)
				if errors.Is(err, migrate.ErrRefused) {
					s.clearFormerNames(ctx)
				}
			}
		case !strings.Contains(err.Error(), "--from-start"):
			afresh = afresh && s.phase().Phase != ownership.Shadowing
		case replaced == "abandon":
			_, _ = s.engine(small).Abandon(ctx)
		default:
			afresh = true
		}
		_ = pause(ctx, 200*time.Millisecond)
	}
	return ctx.Err()
}

// clearFormerNames drops what a zombie wrote after the public name was given back, having
// looked at it.
func (s *amongStrangers) clearFormerNames(ctx context.Context) {
	names, _ := s.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "collection"},
		{Key: "name", Value: bson.Regex{Pattern: "^users__banyan_g"}}})
	for _, name := range names {
		var all []struct {
			ID bson.ObjectID `bson:"_id"`
		}
		// Under another name first, or what comes between is not looked at.
		if s.renameTo(name, "aside", true) != nil {
			continue
		}
		cursor, err := s.db.Collection("aside").Find(ctx, bson.D{})
		if err == nil {
			err = cursor.All(ctx, &all)
		}
		if err != nil {
			s.t.Error(err)
		}
		s.others.mu.Lock()
		for _, d := range all {
			s.found[d.ID] = true
		}
		s.others.mu.Unlock()
	}
}

// runOnce is one process, which ends when it is killed.
func (s *amongStrangers) runOnce(ctx context.Context, c *troubler, small func(*migrate.Config), afresh bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &linktest.Link{Delay: time.Second, Choose: func(cmd linktest.Command) linktest.Fate {
		fate := c.choose(cmd)
		if fate == linktest.KillBefore || fate == linktest.KillAfter {
			cancel()
		}
		return fate
	}}
	return s.process(l, small).Run(ctx, migrate.RunOptions{FromStart: afresh})
}

// switchAmongStrays is an operator who looks at strays before discarding them, and does not
// give up.
func (s *amongStrangers) switchAmongStrays(small func(*migrate.Config), replaced bool) {
	s.t.Helper()
	var last error
	for end, hold := time.Now().Add(4*time.Minute), afterACrash; time.Now().Before(end); hold = min(2*hold, longHold) {
		strays := s.strays()
		own := *s.plan
		own.Budgets.Hold = hold
		e := s.engine(small, func(c *migrate.Config) { c.Plan = &own })
		_, last = e.Verify(s.ctx, verify.Options{Repair: replaced, Report: func(m side.Mismatch) {
			if !replaced {
				s.t.Errorf("mismatch: %+v", m)
			}
		}})
		if last == nil {
			_, last = e.Cutover(s.ctx, cutover.Options{NoMembers: true})
		}
		if s.ownerOrNone() == ownership.DynamoDB && last == nil {
			if len(strays) > 0 {
				s.t.Errorf("it switched although %v stand", strays)
			}
			return
		}
		if err := s.discard(e, strays); err != nil {
			last = err
		}
		_ = pause(s.ctx, 100*time.Millisecond)
	}
	s.t.Fatalf("not switched in time: %v", last)
}

func (s *amongStrangers) discard(e *migrate.Engine, strays []string) error {
	_, err := e.Strays(s.ctx, func(d fence.StrayDocument) error {
		if slices.Contains(strays, d.Collection) {
			s.shown[d.Stray.Lookup("_id").ObjectID()] = true
		}
		return nil
	})
	for _, name := range strays {
		if err == nil {
			err = e.Discard(s.ctx, name)
		}
	}
	return err
}
