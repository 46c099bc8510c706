package migrate_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/linktest"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// reads are the commands that read what is copied or compared, and where it stands.
var reads = map[string]bool{"find": true, "aggregate": true, "count": true, "listCollections": true, "getMore": true}

// A client whose URI prefers secondaries read stale documents, and took them for the truth.
// Nothing that a migration reads of the source is of another server than the primary.
func TestASecondaryIsNeverRead(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	var mu sync.Mutex
	seen := map[string]int{}
	monitor := &event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		profiler := strings.Contains(e.Command.String(), "system.profile") || strings.Contains(e.Command.String(), "banyan-gate ")
		if !reads[e.CommandName] || profiler { // every member has one of its own
			return
		}
		mode, _ := e.Command.Lookup("$readPreference", "mode").StringValueOK()
		mu.Lock()
		defer mu.Unlock()
		seen[e.CommandName]++
		if mode != "" && mode != "primary" && (e.DatabaseName == "legacy" || strings.Contains(e.Command.String(), "changeStream")) {
			t.Errorf("%s on %s prefers %s", e.CommandName, e.DatabaseName, mode)
		}
	}}
	if !strings.Contains(w.uri, "replicaSet") {
		t.Skip("a driver that knows one server sends a preference of its own")
	}
	client, err := mongo.Connect(options.Client().ApplyURI(w.uri + "&readPreference=secondaryPreferred").SetMonitor(monitor))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(w.ctx)) }()
	prefers := func(c *migrate.Config) {
		c.Mongo, c.Dial = client, func(application, host string, dialer options.ContextDialer) (*mongo.Client, error) {
			o := options.Client().ApplyURI(w.uri + "&readPreference=secondaryPreferred").SetAppName(application).SetMonitor(monitor)
			if host != "" {
				o.SetHosts([]string{host}).SetDirect(true)
			}
			if dialer != nil {
				o.SetDialer(dialer)
			}
			return mongo.Connect(o)
		}
	}
	e := w.engine(prefers)
	if _, err := e.Encapsulate(w.ctx, willing); err != nil {
		t.Fatal(err)
	}
	w.follow()
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Verify(w.ctx, verify.Options{}); err != nil {
		t.Fatal(err)
	}
	for verb, err := range verbs(w.ctx, e, false) { // among them the cut-over
		if err != nil && verb != "discard" && !strings.Contains(err.Error(), "nothing was verified yet since the owner changed") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range []string{"find", "aggregate", "listCollections", "getMore"} {
		if seen[name] == 0 {
			t.Errorf("no %s was seen", name)
		}
	}
}

// load is writers of the service that change users, each once a pause, until it is ended.
type load struct {
	stop    context.CancelFunc
	wg      sync.WaitGroup
	changes atomic.Int64
}

func (w *world) startLoad(writers, users int, every time.Duration) *load {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	l := &load{stop: stop}
	for n := range writers {
		m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Service: "load", Probe: anyName})
		if err != nil {
			w.t.Fatal(err)
		}
		l.wg.Go(func() {
			defer func() { _ = m.Leave(context.WithoutCancel(ctx)) }()
			for i := n; ctx.Err() == nil; i += writers {
				_ = m.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
					if g.Owner != ownership.MongoDB {
						return nil
					}
					_, err := w.db.Collection(cmp.Or(g.Collection, "users")).UpdateByID(ctx, userID(i%users), rename(fmt.Sprint("change ", i)))
					if err == nil {
						l.changes.Add(1)
					}
					return fencedError(err)
				})
				_ = pause(ctx, slower*every)
			}
		})
	}
	return l
}

func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

// verifications is how many run under load; 20 were run by hand.
const verifications = 3

// Under load, a verification reported mismatches that were none: with few documents that
// change all the time and a slow network, and with many changes a second.
func TestNoFalseMismatchUnderLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		users, writers int
		every, latency time.Duration
	}{
		"few documents and latency": {5, 1, time.Second / 15, 10 * time.Millisecond},
		"many changes":              {500, 8, 5 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(cfg *mongodbserver.Config) {
				cfg.Fault = func(string, string) mongodbserver.Fault { return mongodbserver.Fault{Delay: c.latency} }
			})
			w.plan.Budgets.Tail = 20_000
			w.seed(c.users)
			w.engine()
			l := w.startLoad(c.writers, c.users, c.every)
			defer l.end()
			w.shadowed()
			run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
			for range verifications {
				w.verified()
			}
			sum, err := w.engine().Cutover(w.ctx, cutover.Options{})
			if err != nil {
				t.Errorf("%+v %v", sum, err)
			}
			if err := run(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			l.end()
			w.mustBeEqual("users")
			t.Logf("%d changes, held for %d ms", l.changes.Load(), sum.Held)
		})
	}
}

// A verification dated in the future counted for ever.
func TestAVerificationOfTheFutureIsRefused(t *testing.T) {
	w := shadowing(t, 20)
	for _, item := range w.scan(ownership.DefaultTable) {
		sk := item["sk"].(*types.AttributeValueMemberS).Value
		if !strings.HasPrefix(sk, "verification#") {
			continue
		}
		item["finishedAt"] = &types.AttributeValueMemberS{Value: time.Now().Add(time.Hour).Format(time.RFC3339Nano)}
		table := ownership.DefaultTable
		if _, err := w.ddb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
	if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), "ahead: set the clock") {
		t.Errorf("%v", err)
	}
	if st, err := w.engine().Status(w.ctx); err != nil || !st.VerifiedUntil.IsZero() {
		t.Errorf("status says that it counts until %s: %v", st.VerifiedUntil, err)
	}
	w.verified()
	if _, err := w.cutOver(); err != nil {
		t.Error(err)
	}
}

// How long writes were held was 0 when another process finished.
func TestHeldIsCountedWhenAnotherProcessFinishes(t *testing.T) {
	t.Parallel()
	// The record changes to announce, hold, switch and release.
	for name, fate := range map[string]linktest.Fate{"before the release": linktest.KillBefore, "after it": linktest.KillAfter} {
		t.Run(name, func(t *testing.T) {
			w := shadowing(t, 20)
			w.mustDie(func() func(linktest.Command) linktest.Fate { return at("owner", 4, fate) }, func(ctx context.Context, e *migrate.Engine) error {
				_, err := e.Cutover(ctx, cutover.Options{NoMembers: true})
				return err
			})
			held := w.phase().HeldAt
			sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
			if err != nil || sum.Step != cutover.StepDone {
				t.Fatalf("%+v %v", sum, err)
			}
			st, err := w.engine().Status(w.ctx)
			if err != nil || st.Cutover == nil || st.Cutover.Step != cutover.StepDone {
				t.Fatalf("%+v %v", st.Cutover, err)
			}
			for _, s := range []control.Switch{sum, *st.Cutover} {
				if s.Held == 0 || s.Held != max(1, s.ReleasedAt.Sub(s.HeldAt).Milliseconds()) || !held.IsZero() && !s.HeldAt.Equal(held) ||
					s.StartedAt.After(s.HeldAt) || s.Epoch != 1 {
					t.Errorf("held since %s: %+v", held, s)
				}
			}
		})
	}
}
