package changestream_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

// writer changes users at random, and remembers the last version of each, and
// which version is the first that the change stream must tell.
type writer struct {
	w      *world
	random *rand.Rand
	users  *mongo.Collection
	last   map[int]int
}

// newWriter has a client of its own, which the faults do not reach.
func newWriter(w *world, seed uint64) *writer {
	client, err := mongo.Connect(options.Client().ApplyURI(w.uri))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return &writer{w: w, random: rand.New(rand.NewPCG(seed, 2)), users: client.Database(w.db.Name()).Collection("users"), last: map[int]int{}}
}

// write changes one of n users: it makes a user of version 0, or the next version.
func (wr *writer) write(n int) {
	wr.w.t.Helper()
	user := wr.random.IntN(n)
	version, there := wr.last[user]
	if !there {
		wr.w.do(wr.users.InsertOne(wr.w.ctx, doc("_id", id(user), "name", "x", "version", 0)))
		wr.last[user] = 0
		return
	}
	wr.w.do(wr.users.UpdateByID(wr.w.ctx, id(user), set("version", version+1)))
	wr.last[user] = version + 1
}

// versionOf reads the version that an event is about.
func versionOf(t testing.TB, e events.Event) int {
	t.Helper()
	var data struct{ Version int }
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	return data.Version
}

// account of what is on the stream for one user.
type account struct {
	versions []int // first occurrences, in order
	repeats  int
	ids      map[string]string // data by id
}

func (w *world) account(key string, all []events.Event, snapshot string) account {
	w.t.Helper()
	a := account{ids: map[string]string{}}
	for _, e := range all {
		if e.CorrelationID == snapshot {
			continue // read at the first start, beside the first changes
		}
		what := e.Type + " " + string(e.Data)
		if before, again := a.ids[e.ID]; again {
			a.repeats++
			if before != what {
				w.t.Errorf("user %s: one id for %s and %s", key, before, what)
			}
			continue
		}
		a.ids[e.ID] = what
		a.versions = append(a.versions, versionOf(w.t, e))
	}
	return a
}

// TestSIGKILL kills the publisher while users change: no change is lost, each
// user's are in order, and what was published twice has the same id.
func TestSIGKILL(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "looks up the document when it is asked for the post-image")
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	random := rand.New(rand.NewPCG(seed, 3))
	wr := newWriter(w, seed)
	p := w.process()
	<-p.ready
	stopWriting := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stopWriting:
				return
			case <-time.After(500 * time.Microsecond):
				wr.write(20)
			}
		}
	})
	for range 4 {
		time.Sleep(time.Duration(50+random.IntN(400)) * time.Millisecond) // its life
		p.kill(t)
		p = w.process()
	}
	<-p.ready
	time.Sleep(50 * time.Millisecond) // the last one follows changes, too
	close(stopWriting)
	writing.Wait()
	total := 0
	for _, last := range wr.last {
		total += last + 1
	}
	snapshot := w.snapshotState().Lookup("id").StringValue()
	distinct := func() (n, repeats int) {
		for key, all := range w.kept() {
			a := w.account(key, all, snapshot)
			n, repeats = n+len(a.versions), repeats+a.repeats
		}
		return n, repeats
	}
	waitFor(t, "every change on the stream", func() bool { n, _ := distinct(); return n >= total })
	p.kill(t)
	n, repeats := distinct()
	t.Logf("%d changes, %d events, %d of them repeats", total, n+repeats, repeats)
	if n != total {
		t.Errorf("seed %d: %d changes are %d events", seed, total, n)
	}
	all := w.kept()
	for user, last := range wr.last {
		a := w.account(id(user).Hex(), all[id(user).Hex()], snapshot)
		for i, v := range a.versions {
			if v != i {
				t.Fatalf("seed %d: user %d: versions %v", seed, user, a.versions)
			}
		}
		if len(a.versions) != last+1 {
			t.Errorf("seed %d: user %d: %d events of %d", seed, user, len(a.versions), last+1)
		}
	}
	if letters := w.refused(); len(letters) > 0 {
		t.Errorf("seed %d: %v", seed, letters)
	}
}

// TestSnapshotAmongChanges reads a collection while it changes, is killed and
// started again: every user is told of, no event is older than one before it,
// and the last one is of the last version.
func TestSnapshotAmongChanges(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWorld(t, seed)
	random := rand.New(rand.NewPCG(seed, 3))
	wr := newWriter(w, seed)
	w.do(nil, w.db.RunCommand(w.ctx, bson.D{{Key: "create", Value: "users"}, {Key: "changeStreamPreAndPostImages", Value: doc("enabled", true)}}).Err())
	const users = 400
	for len(wr.last) < users*3/4 { // before the first start: only a snapshot knows them
		wr.write(users)
	}
	p := w.process()
	<-p.ready
	for range 3 {
		for range random.IntN(150) {
			wr.write(users)
		}
		p.kill(t)
		for range 20 {
			wr.write(users)
		}
		p = w.process()
		select {
		case <-p.ready:
		case <-time.After(time.Minute):
			t.Fatal("the publisher does not start again")
		}
	}
	for range 100 {
		wr.write(users)
	}
	complete := func() bool {
		all := w.kept()
		for user, last := range wr.last {
			list := all[id(user).Hex()]
			if len(list) == 0 || versionOf(t, list[len(list)-1]) != last {
				return false
			}
		}
		state := w.snapshotState()
		return state.Lookup("done").Boolean()
	}
	waitFor(t, "the snapshot and all changes", complete)
	p.kill(t)
	w.noRegression(seed, wr)
}

func (w *world) snapshotState() bson.Raw {
	w.t.Helper()
	row, err := w.db.Collection("banyan_relays").FindOne(w.ctx, doc("_id", "changes")).Raw()
	if err != nil {
		w.t.Fatal(err)
	}
	return row.Lookup("state").Document()
}

// noRegression looks at the first occurrence of each event: neither version nor
// sequence may shrink.
func (w *world) noRegression(seed uint64, wr *writer) {
	w.t.Helper()
	read, changed := 0, 0
	all, snapshot := w.kept(), w.snapshotState().Lookup("id").StringValue()
	for user, last := range wr.last {
		seen, version, sequence := map[string]bool{}, -1, ""
		for _, e := range all[id(user).Hex()] {
			if seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			if v := versionOf(w.t, e); v < version || e.Sequence <= sequence {
				w.t.Fatalf("seed %d: user %d: version %d (%s) after %d (%s)", seed, user, v, e.Sequence, version, sequence)
			} else {
				version, sequence = v, e.Sequence
			}
			if e.CorrelationID == snapshot {
				read++
			} else {
				changed++
			}
		}
		if version != last {
			w.t.Errorf("seed %d: user %d: the last version told is %d of %d", seed, user, version, last)
		}
	}
	w.t.Logf("%d events of the snapshot, %d of changes", read, changed)
	if read < len(wr.last)/2 || changed == 0 {
		w.t.Errorf("seed %d: snapshot and changes did not meet", seed)
	}
}
