package legacydb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/legacydb"
	"github.com/banyan-fig/banyan/infra/legacydb/legacydbtest"
	"github.com/banyan-fig/banyan/infra/local/mongodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a URI that the test changes.
type source struct {
	mu        sync.Mutex
	shown     string // what Get returns
	current   string // what Refresh finds
	changed   chan struct{}
	refreshes atomic.Int64
}

func newSource(uri string) *source {
	return &source{shown: uri, current: uri, changed: make(chan struct{}, 1)}
}

func (s *source) Fixed() bool { return false }

func (s *source) Get(context.Context) (config.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return config.NewSecret(s.shown), nil
}

func (s *source) Refresh(context.Context) (config.Secret, error) {
	s.refreshes.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown = s.current
	return config.NewSecret(s.shown), nil
}

func (s *source) Changed() <-chan struct{} { return s.changed }

// set changes the value at the source, which is noticed at once or by a Refresh.
func (s *source) set(uri string, noticed bool) {
	s.mu.Lock()
	s.current = uri
	if noticed {
		s.shown = uri
	}
	s.mu.Unlock()
	if noticed {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// world is a MongoDB with users, and what a program logs.
type world struct {
	*testing.T
	gate   *legacydbtest.Gate
	direct string // past the gate
	log    buffer
}

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newWorld(t *testing.T, faults ...func(command, namespace string) mongodb.Fault) *world {
	t.Helper()
	cfg := mongodb.Config{}
	for _, f := range faults {
		cfg.Fault = f
	}
	server, err := mongodb.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{T: t, gate: legacydbtest.New(t, server.URI()), direct: server.URI()}
}

func (w *world) follow(s *source, cfg legacydb.FollowConfig) *mongo.Database {
	w.Helper()
	cfg.Log = slog.New(slog.NewJSONHandler(&w.log, nil))
	if cfg.Retry == 0 {
		cfg.Retry = 20 * time.Millisecond
	}
	db, err := legacydb.Follow(w.Context(), s, cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := db.Client().Disconnect(ctx); err != nil {
			w.Error(err)
		}
		for _, secret := range []string{"pw", "mongodb://"} {
			if strings.Contains(w.log.String(), secret) {
				w.Errorf("the log shows %q:\n%s", secret, w.log.String())
			}
		}
	})
	return db
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not within ten seconds; log:\n%s", what, w.log.String())
		}
	}
}

// load writes and reads in the background; stop returns how much, and fails the
// test for each operation that did.
func (w *world) load(db *mongo.Database, people int) (stop func() int64) {
	done := make(chan struct{})
	var running sync.WaitGroup
	var count atomic.Int64
	for i := range people {
		running.Go(func() {
			for k := 0; ; k++ {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				id := fmt.Sprintf("%d-%d", i, k)
				_, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: id}})
				if err == nil {
					err = db.Collection("things").FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err()
				}
				cancel()
				if err != nil {
					w.Errorf("%s: %v", id, err)
				}
				count.Add(1)
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	return func() int64 { close(done); running.Wait(); return count.Load() }
}

// TestRotationUnderLoad: users take turns while operations run. None fails, and
// nobody holds connections of the users before, who are dropped.
func TestRotationUnderLoad(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	user := func(i int) (string, string) { return fmt.Sprintf("u%d", i), fmt.Sprintf("pw%d:/@", i) }
	name, password := user(0)
	w.gate.Let(name, password)
	s := newSource(w.gate.URI(name, password, "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: 150 * time.Millisecond})
	stop := w.load(db, 8)
	for i := 1; i <= 5; i++ {
		before, _ := user(i - 1)
		name, password = user(i)
		w.gate.Let(name, password)
		s.set(w.gate.URI(name, password, "legacy"), true)
		w.eventually("the new user works", func() bool { return w.gate.Open(name) > 0 })
		w.eventually("the old user is gone", func() bool { return w.gate.Open(before) == 0 })
		w.gate.Drop(before)
		time.Sleep(time.Duration(rng.IntN(50)) * time.Millisecond)
	}
	n := stop()
	if refused := w.gate.Refused(); n < 100 || refused > 0 {
		t.Errorf("%d operations, %d refused", n, refused)
	}
	direct, err := legacydb.Open(t.Context(), w.direct)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = direct.Client().Disconnect(context.Background()) }()
	if stored, err := direct.Client().Database("legacy").Collection("things").CountDocuments(t.Context(), bson.D{}); err != nil || stored != n {
		t.Errorf("%d things are stored of %d that were acknowledged; %v", stored, n, err)
	}
}

// TestPasswordChangedFirst: the server has the new password before the source tells
// of it, as when a rotation does one after the other. Operations that need a new
// connection meanwhile wait for it, and none fails.
func TestPasswordChangedFirst(t *testing.T) {
	slow := func(command, _ string) mongodb.Fault {
		if command == "insert" {
			return mongodb.Fault{Delay: 10 * time.Millisecond}
		}
		return mongodb.Fault{}
	}
	w := newWorld(t, slow)
	w.gate.Let("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: 100 * time.Millisecond, Retry: 10 * time.Millisecond})
	w.gate.Let("u", "pw2")
	stop := w.load(db, 12) // needs more connections than there are
	w.eventually("a log-in is refused", func() bool { return w.gate.Refused() > 0 })
	time.Sleep(100 * time.Millisecond)
	s.set(w.gate.URI("u", "pw2", "legacy"), false)
	before := w.gate.LogIns()
	w.eventually("the new password is used", func() bool { return w.gate.LogIns() >= before+6 })
	if n := stop(); n < 12 || s.refreshes.Load() < 2 {
		t.Errorf("%d operations, %d readings", n, s.refreshes.Load())
	}
}

// TestNoOtherCredentials: operations fail with what the server said, after a while.
func TestNoOtherCredentials(t *testing.T) {
	w := newWorld(t)
	w.gate.Let("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Patience: 100 * time.Millisecond})
	w.gate.Drop("u")
	err := db.Collection("things").FindOne(t.Context(), bson.D{}).Err()
	var server mongo.ServerError
	if !errors.As(err, &server) || !server.HasErrorCode(13) {
		t.Errorf("a user who is gone: %v", err)
	}
	w.eventually("the URI is read anew", func() bool { return s.refreshes.Load() > 0 })
	w.eventually("it is logged", func() bool {
		return strings.Contains(w.log.String(), "there are no others; correct the value of MONGODB_URI")
	})
	w.gate.Let("u", "pw1")
	if err := db.Collection("things").FindOne(t.Context(), bson.D{}).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
		t.Errorf("a user who is back: %v", err)
	}
}

// TestBadURIIsNotUsed: the one before stays in force until there is a good one.
func TestBadURIIsNotUsed(t *testing.T) {
	w := newWorld(t)
	w.gate.Let("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: 50 * time.Millisecond})
	stop := w.load(db, 2)
	for uri, says := range map[string]string{
		w.gate.URI("u", "pw-wrong", "legacy"): "AuthenticationFailed",
		w.gate.URI("u", "pw1", "elsewhere"):   "names the database elsewhere instead of legacy",
		"mongodb://u:pw%zz@host/legacy":       "not shown because of its password",
		"mongodb://u:pw@127.0.0.1:x/legacy":   "not shown because of its password",
	} {
		s.set(uri, true)
		w.eventually(says, func() bool { return strings.Contains(w.log.String(), says) })
	}
	w.gate.Let("next", "pw2")
	s.set(w.gate.URI("next", "pw2", "legacy"), true)
	w.eventually("the good one is used", func() bool { return w.gate.Open("next") > 0 && w.gate.Open("u") == 0 })
	if n := stop(); n < 10 {
		t.Errorf("%d operations", n)
	}
}

// TestChangeStreamsGoOn without a gap and without a word.
func TestChangeStreamsGoOn(t *testing.T) {
	w := newWorld(t)
	w.gate.Let("u0", "pw")
	s := newSource(w.gate.URI("u0", "pw", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: 20 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := db.Collection("things").Watch(ctx, mongo.Pipeline{}, options.ChangeStream().SetMaxAwaitTime(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close(ctx) }()
	const each = 20
	for i := range 4 {
		if i > 0 {
			user := fmt.Sprintf("u%d", i)
			w.gate.Let(user, "pw")
			s.set(w.gate.URI(user, "pw", "legacy"), true)
			w.eventually("the user before is gone", func() bool { return w.gate.Open(fmt.Sprintf("u%d", i-1)) == 0 })
			w.gate.Drop(fmt.Sprintf("u%d", i-1))
		}
		for k := range each {
			if _, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: i*each + k}}); err != nil {
				t.Fatal(err)
			}
		}
		for k := range each {
			if !stream.Next(ctx) {
				t.Fatalf("the stream ended at %d: %v", i*each+k, stream.Err())
			}
			if got := stream.Current.Lookup("documentKey", "_id").AsInt64(); got != int64(i*each+k) {
				t.Fatalf("change %d came as number %d", got, i*each+k)
			}
		}
	}
}

// TestOperationsEnd: one that runs when the URI changes ends well, on the connection
// it began on.
func TestOperationsEnd(t *testing.T) {
	began := make(chan struct{}, 1)
	slow := func(command, _ string) mongodb.Fault {
		if command != "insert" {
			return mongodb.Fault{}
		}
		began <- struct{}{}
		return mongodb.Fault{Delay: 400 * time.Millisecond}
	}
	w := newWorld(t, slow)
	w.gate.Let("u", "pw")
	w.gate.Let("next", "pw")
	s := newSource(w.gate.URI("u", "pw", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: time.Second})
	ended := make(chan error, 1)
	go func() {
		_, err := db.Collection("things").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}})
		ended <- err
	}()
	<-began
	s.set(w.gate.URI("next", "pw", "legacy"), true)
	w.eventually("the new user works", func() bool { return w.gate.Open("next") > 0 })
	if w.gate.Open("u") == 0 {
		t.Error("the connection of a running operation was closed")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.eventually("the old user is gone", func() bool { return w.gate.Open("u") == 0 })
}

// TestTransactionsGoOn: one that meets a change of user is run again as a whole.
func TestTransactionsGoOn(t *testing.T) {
	w := newWorld(t)
	w.gate.Let("u", "pw")
	w.gate.Let("next", "pw")
	s := newSource(w.gate.URI("u", "pw", "legacy"))
	db := w.follow(s, legacydb.FollowConfig{Drain: time.Minute})
	if _, err := db.Collection("things").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 0}}); err != nil {
		t.Fatal(err)
	}
	session, err := db.Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	_, err = session.WithTransaction(t.Context(), func(ctx context.Context) (any, error) {
		if _, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}}); err != nil {
			return nil, err
		}
		s.set(w.gate.URI("next", "pw", "legacy"), true)
		w.eventually("the new user works", func() bool { return w.gate.Open("next") > 0 })
		_, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: 2}})
		return nil, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := db.Collection("things").CountDocuments(t.Context(), bson.D{}); err != nil || n != 3 {
		t.Errorf("%d documents, %v", n, err)
	}
}

// TestGiven: a URI that is given is opened as ever, and shows in no error.
func TestGiven(t *testing.T) {
	w := newWorld(t)
	db, err := legacydb.Follow(t.Context(), config.Given("MONGODB_URI", w.direct), legacydb.FollowConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Client().Disconnect(t.Context()); err != nil {
		t.Error(err)
	}
	for uri, says := range map[string]string{
		"":                             "set MONGODB_URI, for instance",
		"http://x":                     "scheme must be",
		"mongodb://u:se%zzcret@h/x":    "not shown because of its password",
		"mongodb://u:secret@h:port/x":  "not shown because of its password",
		"mongodb://127.0.0.1:1/legacy": "MongoDB at 127.0.0.1:1 does not answer",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := legacydb.Follow(ctx, config.Given("MONGODB_URI", uri), legacydb.FollowConfig{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", uri, err, says)
		}
	}
}
