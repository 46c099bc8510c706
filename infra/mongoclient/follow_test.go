package mongoclient_test

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
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/mongoclient/mongoclienttest"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
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
	gate   *mongoclienttest.Gate
	direct string // past the gate
	log    buffer

	operations atomic.Int64 // of the load, ended
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

// newWorld lets the test run beside others: most of its time it waits for the driver.
func newWorld(t *testing.T, faults ...func(command, namespace string) mongodb.Fault) *world {
	t.Helper()
	t.Parallel()
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
	return &world{T: t, gate: mongoclienttest.New(t, server.URI()), direct: server.URI()}
}

func (w *world) follow(s *source, cfg mongoclient.FollowConfig) *mongoclient.Database {
	w.Helper()
	cfg.Log = slog.New(slog.NewJSONHandler(&w.log, nil))
	if cfg.Retry == 0 {
		cfg.Retry = 20 * time.Millisecond
	}
	db, err := mongoclient.Follow(w.Context(), s, cfg)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := db.Close(ctx); err != nil {
			w.Error(err)
		}
		for _, secret := range []string{"pw", "mongodb://"} {
			if strings.Contains(w.log.String(), secret) {
				w.Errorf("the log has %q: %s", secret, w.log.String())
			}
		}
	})
	return db
}

// put stores a thing, once.
func put(ctx context.Context, d *mongoclient.Database, id any) error {
	return d.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		_, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: id}})
		if mongo.IsDuplicateKeyError(err) {
			return nil // by the same put
		}
		return err
	})
}

// has looks for a thing.
func has(ctx context.Context, d *mongoclient.Database, id any) error {
	return d.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		return db.Collection("things").FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Err()
	})
}

// stored counts the things, past the gate.
func (w *world) stored() (n int64) {
	w.Helper()
	direct, err := mongoclient.Open(w.Context(), w.direct)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = direct.Close(context.Background()) }()
	err = direct.Do(w.Context(), func(ctx context.Context, db *mongo.Database) (err error) {
		n, err = db.Client().Database("legacy").Collection("things").CountDocuments(ctx, bson.D{})
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: not within a minute; log:\n%s", what, w.log.String())
		}
	}
}

// retired waits until so many former users are no longer used: that none of them has a
// connection may be for a moment, while it logs in on the next.
func (w *world) retired(n int) {
	w.Helper()
	w.eventually("a former user is retired", func() bool { return strings.Count(w.log.String(), "no longer used") == n })
}

// load writes and reads in the background; stop returns how much, and fails the
// test for each operation that did.
func (w *world) load(db *mongoclient.Database, people int) (stop func() int64) {
	done := make(chan struct{})
	var running sync.WaitGroup
	var count atomic.Int64
	for i := range people {
		running.Go(func() {
			for k := 0; ; k++ {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				id := fmt.Sprintf("%d-%d", i, k)
				err := put(ctx, db, id)
				if err == nil {
					err = has(ctx, db, id)
				}
				cancel()
				if err != nil {
					w.Errorf("%s: %v", id, err)
				}
				count.Add(1)
				w.operations.Add(1)
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
// no connection of the former users, who are dropped, stays open.
func TestRotationUnderLoad(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	user := func(i int) (string, string) { return fmt.Sprintf("u%d", i), fmt.Sprintf("pw%d:/@", i) }
	name, password := user(0)
	w.gate.SetUser(name, password)
	s := newSource(w.gate.URI(name, password, "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{Drain: 150 * time.Millisecond})
	stop := w.load(db, 8)
	for i := 1; i <= 5; i++ {
		before, _ := user(i - 1)
		name, password = user(i)
		w.gate.SetUser(name, password)
		s.set(w.gate.URI(name, password, "legacy"), true)
		w.eventually("the new user works", func() bool { return w.gate.Open(name) > 0 })
		w.retired(i)
		w.eventually("the gate has seen it", func() bool { return w.gate.Open(before) == 0 })
		w.gate.Drop(before)
		until := w.operations.Load() + rng.Int64N(100)
		w.eventually("more operations", func() bool { return w.operations.Load() >= until })
	}
	n := stop()
	if refused := w.gate.Refused(); n < 100 || refused > 0 {
		t.Errorf("%d operations, %d refused", n, refused)
	}
	if stored := w.stored(); stored != n {
		t.Errorf("%d things are stored of %d that were acknowledged", stored, n)
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
	w.gate.SetUser("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{Drain: 100 * time.Millisecond, Retry: 10 * time.Millisecond})
	w.gate.SetUser("u", "pw2")
	stop := w.load(db, 12) // needs more connections than there are
	w.eventually("a log-in is refused", func() bool { return w.gate.Refused() > 0 })
	w.eventually("the source is read without a change", func() bool { return s.refreshes.Load() > 1 })
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
	w.gate.SetUser("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{Patience: 100 * time.Millisecond})
	w.gate.Drop("u")
	err := has(t.Context(), db, 1)
	var server mongo.ServerError
	if !errors.As(err, &server) || !server.HasErrorCode(13) {
		t.Errorf("a dropped user: %v", err)
	}
	w.eventually("the URI is read anew", func() bool { return s.refreshes.Load() > 0 })
	w.eventually("it is logged", func() bool {
		return strings.Contains(w.log.String(), "there are no new ones; correct the value of MONGODB_URI")
	})
	w.gate.SetUser("u", "pw1")
	if err := has(t.Context(), db, 1); !errors.Is(err, mongo.ErrNoDocuments) {
		t.Errorf("a user created again: %v", err)
	}
}

// TestUserIsDroppedFirst: the user is dropped before the source reports the next one.
// Operations wait for it, and none fails.
func TestUserIsDroppedFirst(t *testing.T) {
	w := newWorld(t)
	w.gate.SetUser("u", "pw")
	w.gate.SetUser("next", "pw")
	s := newSource(w.gate.URI("u", "pw", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{})
	stop := w.load(db, 4)
	w.gate.Drop("u")
	w.eventually("a command is refused", func() bool { return w.gate.Refused() > 0 })
	w.eventually("the source is read without a change", func() bool { return s.refreshes.Load() > 1 })
	s.set(w.gate.URI("next", "pw", "legacy"), false)
	w.eventually("the next user works", func() bool { return w.gate.Open("next") > 0 && w.gate.Open("u") == 0 })
	if n := stop(); n < 4 || w.stored() != n {
		t.Errorf("%d operations, %d things", n, w.stored())
	}
}

// TestHostIsDown: operations that wait for a server that is down continue on the next.
func TestHostIsDown(t *testing.T) {
	w := newWorld(t)
	w.gate.SetUser("u", "pw")
	s := newSource(w.gate.URI("u", "pw", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{Drain: time.Minute})
	stop := w.load(db, 4)
	w.eventually("it works", func() bool { return w.stored() > 0 })
	next := mongoclienttest.New(t, w.direct)
	next.SetUser("u", "pw")
	w.gate.Close()
	w.eventually("no connection is left", func() bool { return w.gate.Open("u") == 0 })
	s.set(next.URI("u", "pw", "legacy"), true)
	before := w.stored()
	w.eventually("it works again", func() bool { return w.stored() > before+8 })
	if n := stop(); w.stored() != n {
		t.Errorf("%d operations, %d things", n, w.stored())
	}
}

// TestBadURIIsNotUsed: the one before stays in force until there is a good one.
func TestBadURIIsNotUsed(t *testing.T) {
	w := newWorld(t)
	w.gate.SetUser("u", "pw1")
	s := newSource(w.gate.URI("u", "pw1", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{Drain: 50 * time.Millisecond})
	stop := w.load(db, 2)
	for uri, says := range map[string]string{
		w.gate.URI("u", "pw-wrong", "legacy"): "refuses the credentials: connection() error",
		w.gate.URI("u", "pw1", "elsewhere"):   "names the database elsewhere instead of legacy",
		"mongodb://u:pw%zz@host/legacy":       "not shown because of its password",
		"mongodb://u:pw@127.0.0.1:x/legacy":   "not shown because of its password",
	} {
		s.set(uri, true)
		w.eventually(says, func() bool { return strings.Contains(w.log.String(), says) })
	}
	w.gate.SetUser("next", "pw2")
	s.set(w.gate.URI("next", "pw2", "legacy"), true)
	w.eventually("the good one is used", func() bool { return w.gate.Open("next") > 0 && w.gate.Open("u") == 0 })
	if n := stop(); n == 0 {
		t.Errorf("%d operations", n)
	}
}

// TestLoopsResume: a change stream is ended and started again with each user, and by its
// resume token it tells every change once.
func TestLoopsResume(t *testing.T) {
	w := newWorld(t)
	w.gate.SetUser("u0", "pw")
	s := newSource(w.gate.URI("u0", "pw", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	const each, users = 20, 4
	var token bson.Raw
	runs, ready, told := 0, make(chan struct{}, users), make(chan int64, each*users)
	running := make(chan error, 1)
	go func() {
		running <- db.Run(ctx, func(ctx context.Context, db *mongo.Database) error {
			runs++
			o := options.ChangeStream().SetMaxAwaitTime(50 * time.Millisecond)
			if token != nil {
				o.SetResumeAfter(token)
			}
			stream, err := db.Collection("things").Watch(ctx, mongo.Pipeline{}, o)
			if err != nil {
				return err
			}
			defer func() { _ = stream.Close(context.WithoutCancel(ctx)) }()
			token = stream.ResumeToken()
			ready <- struct{}{}
			for stream.Next(ctx) {
				token = stream.ResumeToken()
				told <- stream.Current.Lookup("documentKey", "_id").AsInt64()
			}
			return stream.Err()
		})
	}()
	for i := range users {
		if i > 0 {
			user := fmt.Sprintf("u%d", i)
			w.gate.SetUser(user, "pw")
			s.set(w.gate.URI(user, "pw", "legacy"), true)
			w.retired(i)
			w.gate.Drop(fmt.Sprintf("u%d", i-1))
		}
		<-ready
		for k := range each {
			if err := put(ctx, db, i*each+k); err != nil {
				t.Fatal(err)
			}
		}
	}
	for want := range int64(each * users) {
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("change %d came as number %d", got, want)
			}
		case <-ctx.Done():
			t.Fatalf("change %d was not reported; log:\n%s", want, w.log.String())
		}
	}
	cancel()
	if err := <-running; !errors.Is(err, context.Canceled) || runs != users {
		t.Errorf("%d runs for %d users, the last of which ended with %v", runs, users, err)
	}
}

// TestLoopsEnd: a loop that ends by itself is not restarted; where the credentials were
// refused, it is run again with the next.
func TestLoopsEnd(t *testing.T) {
	w := newWorld(t)
	w.gate.SetUser("u", "pw")
	w.gate.SetUser("next", "pw")
	s := newSource(w.gate.URI("u", "pw", "legacy"))
	db := w.follow(s, mongoclient.FollowConfig{})
	w.gate.Drop("u")
	s.set(w.gate.URI("next", "pw", "legacy"), false)
	runs, end := 0, errors.New("its own end")
	err := db.Run(t.Context(), func(ctx context.Context, db *mongo.Database) error {
		runs++
		if err := db.Collection("things").FindOne(ctx, bson.D{}).Err(); !errors.Is(err, mongo.ErrNoDocuments) {
			return err
		}
		return end
	})
	if !errors.Is(err, end) || runs != 2 {
		t.Errorf("%d runs, and then %v", runs, err)
	}
}

// TestOperationsEnd: one that runs when the URI changed ends well, on the connections
// it began on, with all that belongs to it; if it takes too long, it is run again on
// the next ones.
func TestOperationsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		drain time.Duration
		runs  int
	}{"in time": {time.Minute, 1}, "too late": {30 * time.Millisecond, 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.gate.SetUser("u", "pw")
			w.gate.SetUser("next", "pw")
			s := newSource(w.gate.URI("u", "pw", "legacy"))
			db := w.follow(s, mongoclient.FollowConfig{Drain: c.drain})
			runs := 0
			err := db.Do(t.Context(), func(ctx context.Context, db *mongo.Database) error {
				if runs++; runs == 2 {
					return nil
				}
				session, err := db.Client().StartSession()
				if err != nil {
					return err
				}
				defer session.EndSession(context.WithoutCancel(ctx))
				_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
					if _, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: 1}}); err != nil {
						return nil, err
					}
					s.set(w.gate.URI("next", "pw", "legacy"), true)
					w.eventually("the new user works", func() bool { return w.gate.Open("next") > 0 })
					if c.runs > 1 {
						<-ctx.Done()
					} else if w.gate.Open("u") == 0 {
						t.Error("the connection of a running operation was closed")
					}
					_, err := db.Collection("things").InsertOne(ctx, bson.D{{Key: "_id", Value: 2}})
					return nil, err
				})
				return err
			})
			if err != nil || runs != c.runs {
				t.Errorf("%d runs, %v", runs, err)
			}
			w.eventually("the old user is gone", func() bool { return w.gate.Open("u") == 0 })
			if n := w.stored(); n != int64(4-2*c.runs) {
				t.Errorf("%d things are stored", n)
			}
		})
	}
}

// TestGiven: a URI that is given is opened as ever, and shows in no error.
func TestGiven(t *testing.T) {
	w := newWorld(t)
	db, err := mongoclient.Follow(t.Context(), config.Given("MONGODB_URI", w.direct), mongoclient.FollowConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(t.Context(), db, 1), db.Close(t.Context()), db.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := put(t.Context(), db, 2); !errors.Is(err, mongoclient.ErrClosed) {
		t.Errorf("after its end: %v", err)
	}
	for uri, says := range map[string]string{
		"":                             "set MONGODB_URI, for instance",
		"http://x":                     "scheme must be",
		"mongodb://u:se%zzcret@h/x":    "not shown because of its password",
		"mongodb://u:secret@h:port/x":  "not shown because of its password",
		"mongodb://127.0.0.1:1/legacy": "MongoDB at 127.0.0.1:1 does not answer: dial tcp 127.0.0.1:1: connect: connection refused; check MONGODB_URI",
		"mongodb://u:secret@h/x?tls=true&tlsCAFile=/no/such/file": "read a file that MONGODB_URI names: open /no/such/file",
		"mongodb+srv://u:secret@db.banyan.invalid/x":              "look up the hosts of MONGODB_URI: lookup _mongodb._tcp.db.banyan.invalid",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the refused one waits all of it
		_, err := mongoclient.Follow(ctx, config.Given("MONGODB_URI", uri), mongoclient.FollowConfig{})
		cancel()
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", uri, err, says)
		}
	}
}

// TestName: the database is the path of the URI.
func TestName(t *testing.T) {
	w := newWorld(t)
	host := strings.TrimSuffix(strings.TrimPrefix(w.direct, "mongodb://"), "/?replicaSet=rs0")
	w.gate.SetUser("u", "p:w/@?")
	gate := w.gate.URI("u", "p:w/@?", "legacy")
	for uri, want := range map[string]string{
		"mongodb://" + host:                              "legacy",
		"mongodb://" + host + "/":                        "legacy",
		"mongodb://" + host + "/other":                   "other",
		"mongodb://" + host + "/an%2Bother?appName=a%40": "an+other",
		"mongodb://" + host + "/?appName=a/b":            "legacy",
		strings.Replace(gate, "/legacy?", "/third?", 1):  "third",
	} {
		db, err := mongoclient.Open(t.Context(), uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if db.Name() != want {
			t.Errorf("%s: the database is %s, want %s", uri, db.Name(), want)
		}
		if err := db.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
