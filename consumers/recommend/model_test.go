package recommend_test

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/recommend"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func edges(m consumers.Message) []recommend.Edge {
	switch p := payload(m).(type) {
	case social.RelationshipFollowed:
		return []recommend.Edge{{From: p.FollowerID, To: p.FolloweeID, Present: true}}
	case social.RelationshipUnfollowed:
		return []recommend.Edge{{From: p.FollowerID, To: p.FolloweeID}}
	}
	return nil
}

func left(m consumers.Message) string {
	p, _ := payload(m).(social.UserLeft)
	return p.UserID
}

func payload(m consumers.Message) any {
	p, err := social.Registry().Decode(m.Event)
	if err != nil {
		panic(err)
	}
	return p
}

func newModel(t *testing.T, client *dynamodb.Client, table string) *recommend.Model {
	t.Helper()
	m, err := recommend.New(recommend.Config{
		Client: client, Table: table, Edges: edges, Left: left, Now: func() time.Time { return streamtest.Start },
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// fold is the graph after all messages, in the order of the stream.
type fold struct {
	out  map[string]map[string]bool
	left map[string]bool
}

func newFold(messages []consumers.Message) fold {
	f := fold{map[string]map[string]bool{}, map[string]bool{}}
	for _, m := range messages {
		if user := left(m); user != "" {
			f.left[user] = true
		}
		for _, e := range edges(m) {
			if f.out[e.From] == nil {
				f.out[e.From] = map[string]bool{}
			}
			f.out[e.From][e.To] = e.Present && e.From != e.To
		}
	}
	return f
}

// list is the brute-force answer.
func (f fold) list(user string) []recommend.Suggestion {
	counts := map[string]int{}
	for via, ok := range f.out[user] {
		for id, present := range f.out[via] {
			if ok && present && !f.left[via] && !f.left[user] && id != user && !f.out[user][id] && !f.left[id] {
				counts[id]++
			}
		}
	}
	var list []recommend.Suggestion
	for id, n := range counts {
		list = append(list, recommend.Suggestion{ID: id, Shared: n})
	}
	slices.SortFunc(list, func(a, b recommend.Suggestion) int { return cmp.Or(b.Shared-a.Shared, cmp.Compare(a.ID, b.ID)) })
	return list
}

func seeds(n int) (all []uint64) {
	if one, err := strconv.ParseUint(os.Getenv("BANYAN_SEED"), 10, 64); err == nil {
		return []uint64{one}
	}
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

// TestListsAreTheFold: whatever is delivered twice, in part or late, while the table fails now
// and then and sweeps are cut short beside it, the lists are in the end what the edges give.
func TestListsAreTheFold(t *testing.T) {
	for _, seed := range seeds(2) {
		t.Run("seed"+strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			db, faults := streamtest.NewDynamoDB(t), streamtest.NewFaults(seed, 15)
			table := db.CreateTable(dynamo.CompositeTable)
			rough := newModel(t, db.Client(faults), table)
			c, err := consumers.New(consumers.Config{Name: "recommend", Handler: sweepBeside(seed, rough), Policy: consumers.Halt, Concurrency: 16})
			if err != nil {
				t.Fatal(err)
			}
			w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 8, Events: 250, Shards: 3})
			streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
			calm := newModel(t, db.Client(nil), table)
			sweepAll(t, calm)
			f, found := newFold(w.Messages), 0
			for _, user := range w.Users {
				got, err := calm.Get(t.Context(), user)
				if err != nil {
					t.Fatal(err)
				}
				if diff := gocmp.Diff(f.list(user), got.Suggestions); diff != "" {
					t.Errorf("seed %d: the list of %s: %s", seed, user, diff)
				}
				found += len(got.Suggestions)
			}
			if found == 0 || faults.Injected() == 0 {
				t.Errorf("seed %d: %d suggestions, %d faults", seed, found, faults.Injected())
			}
		})
	}
}

// sweepBeside sweeps after every few events, at the same time as others are handled, and is
// killed now and then.
func sweepBeside(seed uint64, m *recommend.Model) consumers.Handler {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 3))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	return func(ctx context.Context, msg consumers.Message) error {
		err := m.Handle(ctx, msg)
		if draw(12) == 0 {
			cut, cancel := context.WithTimeout(ctx, time.Duration(1+draw(200))*time.Millisecond)
			defer cancel()
			_, _, _ = m.Sweep(cut)
		}
		return err
	}
}

func sweepAll(t *testing.T, m *recommend.Model) {
	t.Helper()
	for range 20 {
		derived, left, err := m.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if derived+left == 0 {
			return
		}
	}
	t.Fatal("users are still due after 20 sweeps")
}

func follow(t *testing.T, m *recommend.Model, n int, from, to string) {
	t.Helper()
	if err := m.Handle(t.Context(), streamtest.Message(t, n, social.RelationshipFollowed{FollowerID: from, FolloweeID: to, At: streamtest.Start})); err != nil {
		t.Fatal(err)
	}
}

func ids(t *testing.T, m *recommend.Model, user string) (ids []string) {
	t.Helper()
	list, err := m.Get(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list.Suggestions {
		ids = append(ids, s.ID)
	}
	return ids
}

// TestConnectedIsLeftOutAtOnce, before any sweep.
func TestConnectedIsLeftOutAtOnce(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	m := newModel(t, db.Client(nil), db.CreateTable(dynamo.CompositeTable))
	follow(t, m, 1, "ada", "bob")
	follow(t, m, 2, "bob", "cy")
	follow(t, m, 3, "bob", "di")
	sweepAll(t, m)
	if got := ids(t, m, "ada"); !slices.Equal(got, []string{"cy", "di"}) {
		t.Fatalf("suggested %v", got)
	}
	follow(t, m, 4, "ada", "cy")
	if got := ids(t, m, "ada"); !slices.Equal(got, []string{"di"}) {
		t.Errorf("suggested %v, want whoever is not connected", got)
	}
	if err := m.Touch(t.Context(), "ada"); err != nil {
		t.Error(err)
	}
	late := streamtest.Message(t, 1, social.RelationshipUnfollowed{FollowerID: "ada", FolloweeID: "cy", At: streamtest.Start})
	if err := m.Handle(t.Context(), late); err != consumers.ErrStale {
		t.Errorf("a late event: %v", err)
	}
	tooLong := streamtest.Message(t, 5, social.RelationshipFollowed{FollowerID: "ada", FolloweeID: strings.Repeat("x", 300), At: streamtest.Start})
	if err := m.Handle(t.Context(), tooLong); !consumers.IsPermanent(err) {
		t.Errorf("an id of 300 characters: %v", err)
	}
}

// TestBounded: a follow by an account with many followers costs what any follow does.
func TestBounded(t *testing.T) {
	db, faults := streamtest.NewDynamoDB(t), streamtest.NewFaults(0, 0)
	table := db.CreateTable(dynamo.CompositeTable)
	m, err := recommend.New(recommend.Config{Client: db.Client(faults), Table: table, Edges: edges, Breadth: 10, Depth: 10, Fanout: 5, Keep: 5})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		follow(t, m, i+1, "fan"+strconv.Itoa(i), "star")
		follow(t, m, i+1, "star", "fan"+strconv.Itoa(i))
	}
	sweepAll(t, m)
	before := faults.Sent()
	follow(t, m, 1000, "star", "new")
	follow(t, m, 1000, "fan1", "fan2")
	sweepAll(t, m)
	// A list takes up to 17 requests, a sweep 16 more. Without bounds all 100 lists would be due.
	if sent := faults.Sent() - before; sent > 700 {
		t.Errorf("two follows took %d requests", sent)
	}
	for _, user := range []string{"star", "fan1"} {
		if got := ids(t, m, user); len(got) > 5 || slices.Contains(got, user) {
			t.Errorf("%s: %v", user, got)
		}
	}
	if got := ids(t, m, "fan1"); slices.Contains(got, "star") || slices.Contains(got, "fan2") {
		t.Errorf("fan1 is suggested who is connected: %v", got)
	}
}

// TestOnlyDueUsersAreDerived, and nobody is due once all were.
func TestOnlyDueUsersAreDerived(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(dynamo.CompositeTable)
	m := newModel(t, db.Client(nil), table)
	follow(t, m, 1, "ada", "bob")
	sweepAll(t, m)
	out, err := db.Client(nil).Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(table)})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, item := range out.Items {
		kinds[dynamo.StringOf(item, dynamo.AttrPK)]++
	}
	if want := map[string]int{"out#ada": 1, "in#bob": 1, "list#ada": 1}; !maps.Equal(kinds, want) {
		t.Errorf("the table has %v, want %v", kinds, want)
	}
}

// TestExport gives the connections there are, and the users who have not left.
func TestExport(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(dynamo.CompositeTable)
	m := newModel(t, db.Client(nil), table)
	follow(t, m, 1, "ada", "bob")
	follow(t, m, 2, "bob", "in#cy")
	follow(t, m, 3, "gone", "bob")
	for n, p := range []events.Payload{
		social.UserLeft{UserID: "gone", At: streamtest.Start},
		social.RelationshipFollowed{FollowerID: "ada", FolloweeID: "di", At: streamtest.Start},
		social.RelationshipUnfollowed{FollowerID: "ada", FolloweeID: "di", At: streamtest.Start},
	} {
		if err := m.Handle(t.Context(), streamtest.Message(t, 4+n, p)); err != nil {
			t.Fatal(err)
		}
	}
	sweepAll(t, m)
	nodes, edges := map[string]bool{}, map[string]bool{}
	err := recommend.Export(t.Context(), db.Client(nil), table, 1000,
		func(id string) error { nodes[id] = true; return nil },
		func(from, to string) error { edges[from+" "+to] = true; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]bool{"ada": true, "bob": true, "in#cy": true}; !maps.Equal(nodes, want) {
		t.Errorf("users %v, want %v", nodes, want)
	}
	if want := map[string]bool{"ada bob": true, "bob in#cy": true}; !maps.Equal(edges, want) {
		t.Errorf("connections %v, want %v", edges, want)
	}
}

// TestFollowersLearn: a list changes with the connections of the user's connections, too.
func TestFollowersLearn(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	m := newModel(t, db.Client(nil), db.CreateTable(dynamo.CompositeTable))
	follow(t, m, 1, "ada", "bob")
	sweepAll(t, m)
	follow(t, m, 2, "bob", "cy")
	sweepAll(t, m)
	if got := ids(t, m, "ada"); !slices.Equal(got, []string{"cy"}) {
		t.Errorf("suggested %v", got)
	}
}

// TestOvertaken: a sweep that is slow neither loses what happens meanwhile, nor, late, puts
// its list in the place of a newer one.
func TestOvertaken(t *testing.T) {
	for name, another := range map[string]bool{"by an event": false, "by another sweep": true} {
		t.Run(name, func(t *testing.T) {
			db, faults, gate := streamtest.NewDynamoDB(t), streamtest.NewFaults(0, 0), streamtest.NewGate("TransactWriteItems", "list#ada")
			faults.Before = gate.Before
			table := db.CreateTable(dynamo.CompositeTable)
			m, slow := newModel(t, db.Client(nil), table), newModel(t, db.Client(faults), table)
			follow(t, m, 1, "eve", "fay")
			sweepAll(t, m)
			follow(t, m, 2, "ada", "bob")
			done := make(chan error)
			go func() {
				_, _, err := slow.Sweep(t.Context())
				done <- err
			}()
			gate.Wait(t)
			follow(t, m, 3, "ada", "eve")
			if another {
				sweepAll(t, m)
			}
			gate.Open()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if !another {
				sweepAll(t, m)
			}
			if got := ids(t, m, "ada"); !slices.Equal(got, []string{"fay"}) {
				t.Errorf("suggested %v", got)
			}
		})
	}
}

// TestMutual: users who all follow each other, and are due at the same time, do not keep each
// other due.
func TestMutual(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	m := newModel(t, db.Client(nil), db.CreateTable(dynamo.CompositeTable))
	users := []string{"ada", "bob", "cy", "di", "eve", "fay"}
	for _, from := range users {
		for _, to := range users {
			if from != to {
				follow(t, m, 1, from, to)
			}
		}
	}
	rounds := 0
	for {
		derived, left, err := m.Sweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if derived+left == 0 {
			break
		}
		rounds++
	}
	// Everybody tells the others in the first, and is derived in the second, but for who had
	// bad luck with transactions.
	if rounds > 6 {
		t.Errorf("it took %d sweeps", rounds)
	}
}
