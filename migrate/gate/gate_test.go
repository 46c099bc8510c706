package gate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a collection users, and strangers.
type world struct {
	t      *testing.T
	server *mongodbserver.Server
	db     *mongo.Database // of the migration

	control *control.Store
}

func newWorld(t *testing.T, fault func(command, namespace string) mongodbserver.Fault) *world {
	t.Helper()
	t.Parallel() // most of it is waiting
	server, err := mongodbserver.Start(mongodbserver.Config{Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w := &world{t: t, server: server, control: controlStore(t)}
	w.db = source.Primary(w.connect("banyan-migrate users"), "legacy")
	w.run(w.db, bson.D{{Key: "insert", Value: "users"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: 1}}}}})
	return w
}

// controlStore is the control table, over the wire.
func controlStore(t *testing.T) *control.Store {
	t.Helper()
	server, transport := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{})), &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	if err := ownership.NewTable(client, "").Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return control.New(client, ownership.DefaultTable, "users")
}

func (w *world) connect(application string) *mongo.Client {
	w.t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(w.server.URI()).SetAppName(application))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client
}

// as is the database as a program of somebody else's sees it.
func (w *world) as(application string) *mongo.Database {
	w.t.Helper()
	return w.connect(application).Database("legacy")
}

func (w *world) run(db *mongo.Database, command bson.D) {
	w.t.Helper()
	if err := db.RunCommand(w.t.Context(), command).Err(); err != nil {
		w.t.Fatal(err)
	}
}

// nobody listens there.
const nobody = "127.0.0.1:1"

func (w *world) gate(change ...func(*gate.Gate)) gate.Gate {
	g := gate.Gate{DB: w.db, Control: w.control, Entity: "users", Names: "users", Collection: "users", Log: slog.New(slog.DiscardHandler),
		Dial: func(application, host string) (*mongo.Client, error) {
			o := options.Client().SetHosts([]string{host}).SetDirect(true).SetAppName(application)
			if host == nobody {
				o.SetServerSelectionTimeout(time.Second)
			}
			return mongo.Connect(o)
		}}
	for _, c := range change {
		c(&g)
	}
	return g
}

func (w *world) waitFor(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("never: " + what)
		}
	}
}

// profile is what the profiler is set to.
func (w *world) profile() (level int32, filter string) {
	w.t.Helper()
	reply, err := w.db.RunCommand(w.t.Context(), bson.D{{Key: "profile", Value: -1}}).Raw()
	if err != nil {
		w.t.Fatal(err)
	}
	if f, ok := reply.Lookup("filter").DocumentOK(); ok {
		filter = f.String()
	}
	return reply.Lookup("was").Int32(), filter
}

// isWatched reports whether the profiler has recorded a probe of the gate whose filter it has:
// before, operations do not count, and a profiler that others change is one that cannot be used.
func (w *world) isWatched() bool {
	w.t.Helper()
	_, filter := w.profile()
	marker := regexp.MustCompile(`banyan-gate \S+ [0-9a-f]{8}`).FindString(filter)
	if marker == "" {
		return false
	}
	n, err := w.db.Collection("system.profile").CountDocuments(w.t.Context(), bson.D{{Key: "command.comment",
		Value: bson.Regex{Pattern: "^" + marker}}})
	if err != nil {
		w.t.Fatal(err)
	}
	return n > 0
}

// watching runs something while a gate watches, from its first look at the profiler. A watch
// that was over before that was seen begins again.
func (w *world) watching(g gate.Gate, d time.Duration, fn func()) gate.Evidence {
	w.t.Helper()
	done := make(chan error, 1)
	var e gate.Evidence
	watch := func() {
		var err error
		e, err = g.Watch(w.t.Context(), d)
		done <- err
	}
	go watch()
	w.waitFor("the profiler records", func() bool {
		select {
		case err := <-done:
			if err != nil {
				w.t.Fatal(err)
			}
			go watch()
		default:
		}
		return w.isWatched()
	})
	fn()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	return e
}

// client is the one with an application name on a collection.
func client(t *testing.T, e gate.Evidence, application, collection string) control.Client {
	t.Helper()
	for _, c := range e.Clients {
		if c.Application == application && c.Namespace == "legacy."+collection {
			return c
		}
	}
	t.Errorf("%q was not seen on %s: %+v", application, collection, e)
	return control.Client{}
}

var (
	one     = bson.D{{Key: "_id", Value: 1}}
	setSeen = bson.D{{Key: "$set", Value: bson.D{{Key: "seen", Value: true}}}}
	policy  = plan.Gate{Reads: plan.WarnReads, Window: time.Minute}
)

func update(comment string) bson.D {
	return bson.D{{Key: "update", Value: "users"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: one}, {Key: "u", Value: setSeen}}}},
		{Key: "comment", Value: comment}}
}

// Reads and writes of others are counted, each of them, by who made them, and those of the
// service and of the migration are not.
func TestTheProfilerTellsWhoDidWhat(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	cron, report, service, named := w.as("cron"), w.as("report"), w.as("shared"), w.as("users-service")
	w.run(w.db, bson.D{{Key: "create", Value: "users__banyan_g1"}, {Key: "viewOn", Value: "users"}, {Key: "pipeline", Value: bson.A{}}})
	w.run(w.db, bson.D{{Key: "create", Value: "users_archive"}})
	e := w.watching(w.gate(func(g *gate.Gate) { g.Service.AppNames = []string{"users-service"} }), 6*time.Second, func() {
		for range 3 {
			w.run(cron, update("nightly"))
		}
		if err := cron.Collection("users").FindOneAndUpdate(ctx, one, setSeen).Err(); err != nil {
			t.Error(err)
		}
		if _, err := cron.Collection("users__banyan_g1").InsertOne(ctx, bson.D{}); err == nil {
			t.Error("a view was written to")
		}
		for range 2 {
			if _, err := report.Collection("users").Find(ctx, one); err != nil {
				t.Error(err)
			}
		}
		if _, err := report.Collection("users_archive").InsertOne(ctx, bson.D{}); err != nil {
			t.Error(err)
		}
		w.run(service, update("banyan-owner users"))
		w.run(named, update(""))
		w.run(w.db, update("")) // the migration's
	})
	if c := client(t, e, "cron", "users"); c.Writes != 4 || c.Reads != 0 || c.Address != "127.0.0.1" || c.Evidence != "profiler" || c.LastWrite.IsZero() {
		t.Errorf("%+v", c)
	}
	if c := client(t, e, "cron", "users__banyan_g1"); c.Refused != 1 || c.Writes != 0 {
		t.Errorf("%+v", c)
	}
	if c := client(t, e, "report", "users"); c.Reads != 2 || c.Writes != 0 || c.Command != "find" {
		t.Errorf("%+v", c)
	}
	if len(e.Clients) != 3 || len(e.Servers) != 1 || len(e.Servers[0].Gaps)+len(e.Servers[0].Missing) > 0 || e.Servers[0].Evidence[0] != "profiler" {
		t.Errorf("%+v", e)
	}
	refusals, warnings := gate.Judge(e, e.Clients, policy)
	if len(refusals) != 1 || !strings.Contains(refusals[0], `"cron" from 127.0.0.1 on legacy.users: 4 writes`) || strings.Contains(refusals[0], "report") {
		t.Errorf("%q", refusals)
	}
	// One that is seen while it runs counts as a write until then.
	if all := append(slices.Clone(warnings), refusals...); !strings.Contains(warnings[0], `"report"`) || !strings.Contains(strings.Join(all[1:], ""), "1 refused") {
		t.Errorf("%q", all)
	}
	if level, filter := w.profile(); level != 0 || filter != "" {
		t.Errorf("the profiler is left at %d with %s", level, filter)
	}
	again, err := w.gate().Watch(ctx, 100*time.Millisecond)
	if err != nil || len(again.Clients) > 0 {
		t.Errorf("what an earlier gate recorded is counted again: %+v %v", again.Clients, err)
	}
}

// What the DBA records is recorded meanwhile, and their settings are back afterwards.
func TestTheProfilersSettingsAreKept(t *testing.T) {
	w := newWorld(t, nil)
	w.run(w.db, bson.D{{Key: "profile", Value: 1}, {Key: "filter", Value: bson.D{{Key: "ns", Value: "legacy.orders"}}}})
	_, before := w.profile()
	e := w.watching(w.gate(), 2*time.Second, func() { w.run(w.as("shop"), bson.D{{Key: "find", Value: "orders"}}) })
	if level, now := w.profile(); level != 1 || now != before || len(e.Clients) > 0 {
		t.Errorf("level %d, %s, before %s; %+v", level, now, before, e)
	}
	cur, err := w.db.Collection("system.profile").Aggregate(t.Context(), bson.A{bson.D{{Key: "$match", Value: bson.D{{Key: "ns", Value: "legacy.orders"}}}}})
	if err != nil || !cur.Next(t.Context()) {
		t.Errorf("what the DBA asked for was not recorded: %v", err)
	}

	w.run(w.db, bson.D{{Key: "profile", Value: 2}, {Key: "filter", Value: "unset"}}) // everything
	cron, service, stop, done := w.as("cron"), w.as("shared"), make(chan struct{}), make(chan struct{})
	write := func() {
		w.run(cron, update(""))
		w.run(service, update("banyan-owner users"))
	}
	write() // both are connected
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				write()
			}
		}
	}()
	e, err = w.gate().Watch(t.Context(), time.Second)
	close(stop)
	<-done
	if err != nil || e.Servers[0].Evidence[0] != "profiler" || len(e.Clients) != 1 || e.Clients[0].Application != "cron" {
		t.Errorf("%+v %v", e, err)
	}
	if level, filter := w.profile(); level != 2 || filter != "" {
		t.Errorf("level %d, %s", level, filter)
	}
	e, err = w.gate(func(g *gate.Gate) { g.Passive = true }).Watch(t.Context(), time.Millisecond)
	if err != nil || e.Servers[0].Evidence[0] != "profiler" {
		t.Errorf("a dry run reads what is recorded anyway: %+v %v", e, err)
	}
}

// notes are what the settings were, as noted.
func (w *world) notes() []control.Profiler {
	w.t.Helper()
	all, err := w.control.Profilers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// killed is a gate that was killed while it watched: its context ended, and nothing that it
// sends at the end arrives.
func (w *world) killed() {
	w.t.Helper()
	ctx, kill := context.WithCancel(w.t.Context())
	defer kill()
	clients := make(chan *mongo.Client, 1)
	g := w.gate(func(g *gate.Gate) {
		dial := g.Dial
		g.Dial = func(application, host string) (*mongo.Client, error) {
			c, err := dial(application, host)
			clients <- c
			return c, err
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = g.Watch(ctx, time.Minute)
	}()
	w.waitFor("the profiler is set", func() bool { _, filter := w.profile(); return strings.Contains(filter, "banyan-gate") })
	_ = (<-clients).Disconnect(ctx)
	kill()
	<-done
	if _, filter := w.profile(); filter == "" || len(w.notes()) != 1 {
		w.t.Fatalf("%s, %v", filter, w.notes())
	}
}

// died has the note say that its process ended long ago.
func (w *world) died() {
	w.t.Helper()
	for _, n := range w.notes() {
		n.Until = time.Now().Add(-time.Hour)
		if err := w.control.Save(w.t.Context(), &n); err != nil {
			w.t.Fatal(err)
		}
	}
}

// Where a gate was killed, the next command restores the settings: not while it may live,
// and not over what the DBA has set since.
func TestAKilledGatesSettingsAreRestored(t *testing.T) {
	for what, changed := range map[string]bool{"as it left them": false, "changed since": true} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, nil)
			mine := bson.D{{Key: "ns", Value: "legacy.orders"}}
			w.run(w.db, bson.D{{Key: "profile", Value: 1}, {Key: "filter", Value: mine}})
			_, want := w.profile()
			w.killed()
			e, err := w.gate().Watch(t.Context(), time.Millisecond)
			if err != nil || slices.Contains(e.Servers[0].Evidence, "profiler") ||
				!strings.Contains(fmt.Sprint(e.Servers[0].Missing), "that of the entity users uses it") {
				t.Errorf("while the first may live: %+v %v", e, err)
			}
			wantLevel := int32(1)
			if changed {
				w.run(w.db, bson.D{{Key: "profile", Value: 2}, {Key: "filter", Value: "unset"}})
				wantLevel, want = 2, ""
			}
			w.died()
			g := w.gate()
			if err := g.RestoreProfilers(t.Context()); err != nil {
				t.Fatal(err)
			}
			if level, filter := w.profile(); level != wantLevel || filter != want || len(w.notes()) > 0 {
				t.Errorf("level %d, %s, want %s; notes %v", level, filter, want, w.notes())
			}
		})
	}
}

// A gap is no silence: what the profiler's collection did not hold, a time in which
// somebody had other settings, and a server that does not answer.
func TestGapsAreNotSilence(t *testing.T) {
	judge := func(t *testing.T, e gate.Evidence, why string) {
		t.Helper()
		refusals, _ := gate.Judge(e, nil, policy)
		if len(refusals) == 0 || !strings.Contains(refusals[0], why) || !strings.Contains(refusals[0], "is not known") {
			t.Errorf("%q, want %q", refusals, why)
		}
	}
	t.Run("more than fits", func(t *testing.T) {
		w := newWorld(t, nil)
		big := bson.D{{Key: "find", Value: "users"}, {Key: "filter", Value: bson.D{{Key: "a", Value: strings.Repeat("a", 1_200_000)}}}}
		db := w.as("bulk")
		e := w.watching(w.gate(), 6*time.Second, func() {
			w.waitFor("the watch ends", func() bool {
				w.run(db, big)
				_, filter := w.profile()
				return filter == ""
			})
		})
		judge(t, e, "more was recorded than the profiler's collection holds")
	})
	t.Run("settings changed", func(t *testing.T) {
		w := newWorld(t, nil)
		e := w.watching(w.gate(), 6*time.Second, func() { w.run(w.db, bson.D{{Key: "profile", Value: 0}, {Key: "filter", Value: "unset"}}) })
		judge(t, e, "somebody changed the settings of the profiler")
		if level, _ := w.profile(); level != 0 || len(w.notes()) > 0 {
			t.Errorf("level %d, notes %v", level, w.notes())
		}
	})
	t.Run("no answer", func(t *testing.T) {
		w := newWorld(t, nil)
		e, err := w.gate(func(g *gate.Gate) {
			g.Dial = func(string, string) (*mongo.Client, error) { return nil, errors.New("no route to host") }
		}).Watch(t.Context(), time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		judge(t, e, "no route to host")
	})
}

// Who reads from another member than the primary is seen, and one that does not answer is a
// gap for that one alone.
func TestEveryMemberIsAsked(t *testing.T) {
	secondary := newWorld(t, nil)
	w := &world{t: t, control: controlStore(t)}
	var err error
	w.server, err = mongodbserver.Start(mongodbserver.Config{Passives: []string{secondary.server.Addr(), nobody}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.server.Close() })
	primary, err := mongo.Connect(options.Client().SetHosts([]string{w.server.Addr()}).SetDirect(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = primary.Disconnect(context.WithoutCancel(t.Context())) })
	w.db = primary.Database("legacy")
	report := secondary.as("report")
	e := w.watching(w.gate(), 6*time.Second, func() {
		secondary.waitFor("its profiler records", secondary.isWatched)
		if err := report.Collection("users").FindOne(t.Context(), one).Err(); err != nil {
			t.Error(err)
		}
	})
	if c := client(t, e, "report", "users"); c.Reads != 1 || c.Server != secondary.server.Addr() {
		t.Errorf("%+v", c)
	}
	for _, s := range e.Servers {
		if gone := s.Host == nobody; gone != (len(s.Gaps) > 0) || gone != (len(s.Evidence) == 0) {
			t.Errorf("%+v", s)
		}
	}
	if _, filter := secondary.profile(); filter != "" || len(e.Servers) != 3 || len(w.notes()) > 0 {
		t.Errorf("%s, %+v, %v", filter, e.Servers, w.notes())
	}
}
