package mongodb_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

func connect(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	c, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c.Disconnect(ctx)
	})
	return c
}

// faults hands out one fault for the next command of a name.
type faults struct {
	mu   sync.Mutex
	next map[string]mongodb.Fault
}

func (f *faults) set(command string, fault mongodb.Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next[command] = fault
}

func (f *faults) take(command, _ string) mongodb.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.next[command]
	delete(f.next, command)
	return fault
}

// A driver retries each of these once, and the effect is there once.
func TestFaultsAreRetriedOnceInEffect(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]mongodb.Fault{
		"before":      {Kind: mongodb.CloseBefore},
		"after":       {Kind: mongodb.CloseAfter},
		"not primary": {Kind: mongodb.NotWritablePrimary},
		"late":        {Delay: 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &faults{next: map[string]mongodb.Fault{}}
			coll := connect(t, start(t, mongodb.Config{Fault: f.take}).URI()).Database("d").Collection("c")
			f.set("insert", fault)
			if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 0}}); err != nil {
				t.Fatalf("insert: %v", err)
			}
			f.set("update", fault)
			if _, err := coll.UpdateOne(t.Context(), bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}); err != nil {
				t.Fatalf("update: %v", err)
			}
			var got struct{ N int }
			f.set("find", mongodb.Fault{Kind: mongodb.CloseAfter})
			if err := coll.FindOne(t.Context(), bson.D{}).Decode(&got); err != nil || got.N != 1 {
				t.Errorf("in the end n is %d: %v", got.N, err)
			}
		})
	}
}

func TestFaultsWithoutRetries(t *testing.T) {
	t.Parallel()
	f := &faults{next: map[string]mongodb.Fault{}}
	s := start(t, mongodb.Config{Fault: f.take})
	coll := connect(t, s.URI()+"&retryWrites=false").Database("d").Collection("c")
	f.set("insert", mongodb.Fault{Kind: mongodb.CloseAfter})
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); !mongo.IsNetworkError(err) {
		t.Errorf("a connection closed after the effect: %v", err)
	}
	if n, err := coll.CountDocuments(t.Context(), bson.D{}); err != nil || n != 1 {
		t.Errorf("%d documents: %v", n, err)
	}
}

// A change stream goes on where it was, whatever happens to its connections.
func TestStreamsSurviveFaults(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	s := start(t, mongodb.Config{Fault: func(command, _ string) mongodb.Fault {
		if command == "getMore" && calls.Add(1)%3 == 0 {
			return mongodb.Fault{Kind: mongodb.CloseAfter}
		}
		return mongodb.Fault{}
	}})
	coll := connect(t, s.URI()).Database("d").Collection("c")
	cs, err := coll.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetBatchSize(2))
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close(context.Background())
	for i := range 10 {
		if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: i}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		if !cs.Next(t.Context()) {
			t.Fatalf("event %d: %v", i, cs.Err())
		}
		if got := cs.Current.Lookup("documentKey", "_id").AsInt64(); got != int64(i) {
			t.Fatalf("event %d is of document %d", i, got)
		}
	}
}

func TestHistoryLost(t *testing.T) {
	t.Parallel()
	s := start(t, mongodb.Config{OplogEntries: 10})
	coll := connect(t, s.URI()).Database("d").Collection("c")
	cs, err := coll.Watch(t.Context(), mongo.Pipeline{})
	if err != nil {
		t.Fatal(err)
	}
	defer cs.Close(context.Background())
	token := cs.ResumeToken()
	for i := range 30 {
		if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: i}}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = coll.Watch(t.Context(), mongo.Pipeline{}, options.ChangeStream().SetResumeAfter(token))
	var se mongo.ServerError
	if !errors.As(err, &se) || !se.HasErrorCode(286) {
		t.Errorf("resuming from what fell off the oplog: %v", err)
	}
	if cs.Next(t.Context()) {
		t.Error("a stream that lost its place went on")
	} else if !errors.As(cs.Err(), &se) || !se.HasErrorCode(286) {
		t.Errorf("a stream that lost its place: %v", cs.Err())
	}
}

func TestSnapshotTooOld(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(1_700_000_000)
	s := start(t, mongodb.Config{History: time.Minute, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	db := connect(t, s.URI()).Database("d")
	find := func(at bson.Timestamp) error {
		return db.RunCommand(t.Context(), bson.D{{Key: "find", Value: "c"}, {Key: "readConcern", Value: bson.D{
			{Key: "level", Value: "snapshot"}, {Key: "atClusterTime", Value: at}}}}).Err()
	}
	insert := func(id int) {
		if _, err := db.Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}}); err != nil {
			t.Fatal(err)
		}
	}
	insert(1)
	at := bson.Timestamp{T: 1_700_000_000, I: 3}
	if err := find(at); err != nil {
		t.Errorf("within the history: %v", err)
	}
	now.Add(120)
	insert(2)
	var se mongo.ServerError
	if err := find(at); !errors.As(err, &se) || !se.HasErrorCode(239) {
		t.Errorf("beyond the history: %v", err)
	}
}

// Counters that many clients increment under random faults end as the driver
// reported.
func TestIncrementsUnderFaults(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	s := start(t, mongodb.Config{Fault: func(command, _ string) mongodb.Fault {
		mu.Lock()
		defer mu.Unlock()
		if command != "update" || r.IntN(40) > 0 {
			return mongodb.Fault{}
		}
		return mongodb.Fault{Kind: mongodb.FaultKind(1 + r.IntN(2))}
	}})
	coll := connect(t, s.URI()).Database("d").Collection("c")
	if _, err := coll.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
		t.Fatal(err)
	}
	var done, unsure atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				_, err := coll.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}})
				if err == nil {
					done.Add(1)
				} else {
					unsure.Add(1)
				}
			}
		})
	}
	wg.Wait()
	var got struct{ N int64 }
	if err := coll.FindOne(t.Context(), bson.D{}).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.N < done.Load() || got.N > done.Load()+unsure.Load() {
		t.Errorf("seed %d: n is %d after %d acknowledged and %d unsure increments", seed, got.N, done.Load(), unsure.Load())
	}
}

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for _, cfg := range []mongodb.Config{{Addr: "0.0.0.0:0"}, {Addr: "nonsense"}, {OplogEntries: -1}} {
		if s, err := mongodb.Start(cfg); err == nil {
			s.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
	s := start(t, mongodb.Config{})
	if _, err := mongodb.Start(mongodb.Config{Addr: s.Addr()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a port in use: %v", err)
	}
}

// A late command is one that the client has given up: its connection is closed,
// the server still has it, and it takes effect on what is there by then.
func TestLateCommands(t *testing.T) {
	t.Parallel()
	f := &faults{next: map[string]mongodb.Fault{}}
	s := start(t, mongodb.Config{Fault: f.take})
	ctx, other := t.Context(), connect(t, s.URI())
	coll := other.Database("d").Collection("c")
	_, err := coll.InsertOne(ctx, bson.D{{Key: "_id", Value: 1}})
	do(t, err)
	giveUp := func(app string, delay time.Duration) {
		f.set("drop", mongodb.Fault{Kind: mongodb.Late, Delay: delay})
		late := connect(t, s.URI()+"&appName="+app)
		if err := late.Database("d").RunCommand(ctx, bson.D{{Key: "drop", Value: "c"}}).Err(); !mongo.IsNetworkError(err) {
			t.Errorf("a late command: %v", err)
		}
		do(t, late.Disconnect(ctx))
	}
	giveUp("held", time.Hour)
	until(t, other, `{"appName": "held", "active": false}`)

	session, err := other.StartSession()
	do(t, err)
	defer session.EndSession(context.Background())
	do(t, session.StartTransaction())
	do(t, coll.FindOne(mongo.NewSessionContext(ctx, session), bson.D{}).Err())
	giveUp("arriving", time.Millisecond)
	until(t, other, `{"appName": "arriving", "command.drop": "c", "waitingForLock": true}`)
	do(t, session.CommitTransaction(ctx))
	for len(operations(t, other, `{"appName": "arriving"}`)) > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	if n, err := coll.CountDocuments(ctx, bson.D{}); err != nil || n != 0 {
		t.Errorf("when the connection is gone: %d documents, %v", n, err)
	}
}

// A command that is held up is an operation.
func TestDelayedCommandsAreShown(t *testing.T) {
	t.Parallel()
	f := &faults{next: map[string]mongodb.Fault{}}
	s := start(t, mongodb.Config{Fault: f.take})
	other, delayed := connect(t, s.URI()), connect(t, s.URI()+"&retryWrites=false&appName=delayed")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.set("insert", mongodb.Fault{Delay: time.Hour})
	inserted := make(chan error, 1)
	go func() {
		_, err := delayed.Database("d").Collection("c").InsertOne(ctx, bson.D{})
		inserted <- err
	}()
	until(t, other, `{"appName": "delayed", "active": true, "op": "insert", "ns": "d.c", "waitingForLock": false}`)
	cancel()
	if err := <-inserted; err == nil {
		t.Error("the insert was not held up")
	}
	if n, err := other.Database("d").Collection("c").CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("%d documents, %v", n, err)
	}
}

func TestRepeatedCommands(t *testing.T) {
	t.Parallel()
	f := &faults{next: map[string]mongodb.Fault{}}
	s := start(t, mongodb.Config{Fault: f.take})
	ctx := t.Context()
	coll := connect(t, s.URI()).Database("d").Collection("c")
	numbered, plain := coll, connect(t, s.URI()+"&retryWrites=false&appName=plain").Database("d").Collection("c")
	one := func(c *mongo.Collection) {
		f.set("update", mongodb.Fault{Kind: mongodb.Repeat, Delay: time.Millisecond})
		if _, err := c.UpdateOne(ctx, bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "n", Value: 1}}}}); err != nil {
			t.Error(err)
		}
	}
	if _, err := coll.InsertOne(ctx, bson.D{{Key: "n", Value: 0}}); err != nil {
		t.Fatal(err)
	}
	one(numbered)
	one(plain)
	n := func() int32 {
		d, err := coll.FindOne(ctx, bson.D{}).Raw()
		if err != nil {
			t.Fatal(err)
		}
		return d.Lookup("n").Int32()
	}
	for deadline := time.Now().Add(time.Minute); n() < 3 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	if n() != 3 {
		t.Errorf("n is %d after one update that is known again and one that is repeated", n())
	}
}
