package shadow_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/shadow"
)

// store is what a service would read.
type store struct {
	mu    sync.Mutex
	all   map[string]string
	fails error
	hangs chan struct{}
}

func (s *store) read(_ context.Context, _ ownership.Grant, key string) (string, bool, error) {
	if s.hangs != nil { // whatever becomes of the context
		<-s.hangs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if key == "panics" {
		panic("at the disco")
	}
	value, found := s.all[key]
	return value, found, s.fails
}

func (s *store) set(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[key] = value
}

type world struct {
	t          *testing.T
	table      *ownership.Table
	member     *ownership.Member
	old, new   *store
	comparison *shadow.Reads[string]
}

// shadowing is an entity in the phase shadowing, with equal stores.
func shadowing(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	w := &world{t: t, old: &store{all: map[string]string{"a": "1"}}, new: &store{all: map[string]string{"a": "1"}}}
	w.table = ownership.NewTable(dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}), "")
	if err := w.table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.change(func(r *ownership.Record) { r.Phase = ownership.Shadowing })
	var err error
	if w.member, err = ownership.Join(t.Context(), ownership.MemberConfig{Table: w.table, Entity: "things"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = w.member.Leave(ctx)
	})
	w.comparison, err = shadow.New(shadow.Config[string]{Member: w.member, MongoDB: w.old.read, DynamoDB: w.new.read, Sample: 1, AtOnce: 2,
		Differ: func(a, b string) string {
			if a != b {
				return "value"
			}
			return ""
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.comparison.Close)
	return w
}

func (w *world) change(how func(*ownership.Record)) {
	w.t.Helper()
	rec, err := w.table.Load(w.t.Context(), "things")
	if err == nil {
		_, err = w.table.Update(w.t.Context(), rec, how)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// await waits until the member's row counts what is wanted.
func (w *world) await(wanted func(ownership.ShadowReads) bool) ownership.ShadowReads {
	w.t.Helper()
	var last ownership.ShadowReads
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		rows, err := w.table.Members(w.t.Context(), "things")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, row := range rows {
			if last = row.Shadow; wanted(last) {
				return last
			}
		}
	}
	w.t.Fatalf("the row says %+v", last)
	return last
}

func TestWhatIsEqualIsCounted(t *testing.T) {
	w := shadowing(t)
	w.comparison.Compare("a")
	w.comparison.Compare("nobody has it")
	got := w.await(func(r ownership.ShadowReads) bool { return r.Compared == 2 })
	if got.Different+got.InFlight+got.Failed > 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhatStaysDifferentIsSaid(t *testing.T) {
	for name, change := range map[string]func(*world){
		"value":                     func(w *world) { w.new.set("a", "secret") },
		"missing in the store":      func(w *world) { delete(w.new.all, "a") },
		"only in the store that is": func(w *world) { delete(w.old.all, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			w := shadowing(t)
			change(w)
			w.comparison.Compare("a")
			got := w.await(func(r ownership.ShadowReads) bool { return r.Compared == 1 })
			if got.Different != 1 || !strings.HasPrefix(got.Last, "a: "+name) || got.LastAt.IsZero() || strings.Contains(got.Last, "secret") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A change that is applied late, and a document that never stands still, are no differences.
func TestWhatIsInFlightIsNoDifference(t *testing.T) {
	w := shadowing(t)
	w.old.set("a", "2")
	w.comparison.Compare("a")
	time.AfterFunc(200*time.Millisecond, func() { w.new.set("a", "2") })
	got := w.await(func(r ownership.ShadowReads) bool { return r.Compared == 1 })
	if got.InFlight != 1 || got.Different > 0 {
		t.Errorf("late: %+v", got)
	}
	w.old.set("busy", "0")
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			w.old.set("busy", strings.Repeat("x", i))
			time.Sleep(5 * time.Millisecond)
		}
	})
	w.comparison.Compare("busy")
	got = w.await(func(r ownership.ShadowReads) bool { return r.Compared == 2 })
	cancel()
	writing.Wait()
	if got.InFlight != 2 || got.Different > 0 {
		t.Errorf("busy: %+v", got)
	}
}

// A store that hangs, fails or panics costs the service nothing, and no switch waits for it.
func TestAStoreThatHangsOrFailsDisturbsNobody(t *testing.T) {
	w := shadowing(t)
	w.new.hangs = make(chan struct{})
	for range 100 {
		w.comparison.Compare("a") // two run, the others are left out
	}
	w.change(func(r *ownership.Record) { r.Phase, r.Hold = ownership.Switching, true })
	rec, err := w.table.Load(t.Context(), "things")
	if err == nil {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = w.table.AwaitAck(ctx, "things", rec.Revision)
	}
	if err != nil {
		t.Fatal("the hold waits for a shadow read: ", err)
	}
	close(w.new.hangs)
	w.change(func(r *ownership.Record) { r.Phase, r.Hold = ownership.Shadowing, false })
	for until := time.Now().Add(time.Minute); w.member.Record().Phase != ownership.Shadowing && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		w.comparison.Compare("panics")
		if rows, err := w.table.Members(t.Context(), "things"); err == nil && len(rows) == 1 && rows[0].Shadow.Failed > 0 {
			break
		}
	}
	w.new.mu.Lock()
	w.new.fails = errors.New("no such table")
	w.new.mu.Unlock()
	failed := w.await(func(r ownership.ShadowReads) bool { return r.Failed > 0 }).Failed
	w.comparison.Compare("a")
	w.await(func(r ownership.ShadowReads) bool { return r.Failed > failed })
}

// Outside of the phases in which both stores should be equal nothing is read.
func TestNothingIsComparedInOtherPhases(t *testing.T) {
	w := shadowing(t)
	w.change(func(r *ownership.Record) { r.Phase = ownership.Copying })
	for until := time.Now().Add(time.Minute); w.member.Record().Phase != ownership.Copying && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	w.old.hangs = make(chan struct{}) // a read would never end
	w.comparison.Compare("a")
	w.comparison.Close()
}
