package override_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/proxy/override"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is the network before DynamoDB.
type wire struct {
	http.RoundTripper
	cut  atomic.Bool
	lose atomic.Int64 // answers of that many next writes
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		return nil, errors.New("the network is away")
	}
	res, err := w.RoundTripper.RoundTrip(req)
	if err == nil && strings.HasSuffix(req.Header.Get("X-Amz-Target"), "PutItem") && w.lose.Add(-1) >= 0 {
		_ = res.Body.Close()
		return nil, errors.New("the answer is lost")
	}
	return res, err
}

// connect returns a client of a server of its own, and the network between them.
func connect(t *testing.T) (func() *awsdynamodb.Client, func() *wire) {
	t.Helper()
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	t.Cleanup(server.Close)
	var last *wire
	client := func() *awsdynamodb.Client {
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		last = &wire{RoundTripper: transport}
		return awsdynamodb.New(awsdynamodb.Options{
			Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: last},
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			Retryer:     retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
		})
	}
	if err := dynamo.EnsureTable(t.Context(), client(), dynamo.CompositeTable("control")); err != nil {
		t.Fatal(err)
	}
	return client, func() *wire { return last }
}

// onEachStore runs a test with each kind of store; open is another process' way to the same one.
func onEachStore(t *testing.T, run func(t *testing.T, open func() override.Store)) {
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "overrides.json")
		run(t, func() override.Store { return override.NewFile(path) })
	})
	t.Run("dynamodb", func(t *testing.T) {
		client, _ := connect(t)
		run(t, func() override.Store { return override.NewDynamoDB(client(), "control", "") })
	})
}

func back(route string) override.Override {
	return override.Override{Route: route, Mode: override.Legacy, By: "ann", Why: "a test"}
}

func of(t *testing.T, table *override.Table, route string) string {
	t.Helper()
	o, ok := table.Of(route)
	if !ok {
		return ""
	}
	return o.Mode
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFleet(t *testing.T) {
	onEachStore(t, func(t *testing.T, open func() override.Store) {
		ctx := t.Context()
		a, b := override.New(override.Config{Store: open()}), override.New(override.Config{Store: open()})
		do(t, a.Sync(ctx))
		do(t, b.Sync(ctx))
		do(t, a.Set(ctx, back("x")))
		if of(t, a, "x") != override.Legacy || of(t, b, "x") != "" {
			t.Error("a change is in force where it was made, and elsewhere once it was read")
		}
		do(t, b.Sync(ctx))
		if of(t, b, "x") != override.Legacy {
			t.Error("the other process has not read it")
		}
		split := override.Override{Route: "x", Mode: override.Split, Percent: 12.5, By: "ann", Why: "another try", Pinned: true}
		do(t, b.Set(ctx, split))
		if err := a.Clear(ctx, "x", "bob", "unaware"); !errors.Is(err, override.ErrConflict) {
			t.Errorf("a change upon what is no more: %v", err)
		}
		got, _ := a.Of("x")
		if got.Percent != 12.5 || !got.Pinned || got.Revision != 2 || got.At.IsZero() {
			t.Errorf("after the conflict there is %+v", got)
		}
		do(t, a.Clear(ctx, "x", "bob", "knowing"))
		later := override.New(override.Config{Store: open()})
		do(t, later.Sync(ctx))
		if trace, ok := later.Last("x"); !ok || trace.Mode != "" || trace.By != "bob" || len(later.All()) != 0 {
			t.Errorf("what was cleared leaves %+v, and in force is %v", trace, later.All())
		}
	})
}

// TestStoreKeepsEveryChange: processes that change different routes at once lose nothing, and
// an override that stays is in force at every instant of it.
func TestStoreKeepsEveryChange(t *testing.T) {
	onEachStore(t, func(t *testing.T, open func() override.Store) {
		const processes, routes = 4, 4
		var all, reading sync.WaitGroup
		var done atomic.Bool
		var tables []*override.Table
		for p := range processes {
			table := override.New(override.Config{Store: open(), Limit: time.Minute})
			for err := table.Set(t.Context(), back("stays")); errors.Is(err, override.ErrConflict); err = table.Sync(t.Context()) {
			}
			tables = append(tables, table)
			all.Go(func() {
				for r := range routes {
					for err := table.Set(t.Context(), back(fmt.Sprint(p, "-", r))); err != nil; err = table.Sync(t.Context()) {
						if !errors.Is(err, override.ErrConflict) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		reading.Go(func() {
			for ; !done.Load(); runtime.Gosched() {
				for _, table := range tables {
					if _, ok := table.Of("stays"); !ok {
						t.Error("it was gone for an instant")
						return
					}
				}
			}
		})
		all.Wait()
		done.Store(true)
		reading.Wait()
		table := override.New(override.Config{Store: open()})
		do(t, table.Sync(t.Context()))
		if n := len(table.All()); n != processes*routes+1 {
			t.Errorf("%d of %d overrides are there", n, processes*routes+1)
		}
	})
}

// TestStoreThatWentBack: what is in force outlives a store that was emptied.
func TestStoreThatWentBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.json")
	table := override.New(override.Config{Store: override.NewFile(path)})
	do(t, table.Set(t.Context(), back("x")))
	do(t, os.Remove(path))
	do(t, table.Sync(t.Context()))
	other := override.New(override.Config{Store: override.NewFile(path)})
	do(t, other.Sync(t.Context()))
	if of(t, table, "x") != override.Legacy || of(t, other, "x") != override.Legacy {
		t.Error("the override went with the file")
	}
}

func TestFileRefusesWhatItDidNotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.json")
	table := override.New(override.Config{Store: override.NewFile(path)})
	do(t, table.Set(t.Context(), back("x")))
	good, err := os.ReadFile(path)
	do(t, err)
	bad := map[string]string{
		"routes:\n- name: x\n": "not overrides",
		`{"version":1}`:        "not overrides of version 1",
		strings.Replace(string(good), `"version": 1`, `"version": 2`, 1):          "version 2",
		strings.Replace(string(good), `"by"`, `"unknown": 1, "by"`, 1):            "unknown",
		strings.Replace(string(good), `"legacy"`, `"elsewhere"`, 1):               "invalid mode",
		string(good) + string(good):                                               "follows",
		`{"kind":"banyan-overrides","version":1,"revision":1,"overrides":[` + "x": "not overrides",
	}
	for n := range good {
		bad[string(good[:n])] = "half written"
	}
	for src, want := range bad {
		do(t, os.WriteFile(path, []byte(src), 0o600))
		err := table.Sync(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want one with %q", src, err, want)
		}
		if of(t, table, "x") != override.Legacy {
			t.Fatalf("%q takes the last good override away", src)
		}
	}
	do(t, os.WriteFile(path, []byte("foreign"), 0o600))
	if err := table.Set(t.Context(), back("y")); err == nil || of(t, table, "y") != override.Legacy {
		t.Errorf("a change that cannot be stored: %v", err)
	}
	if now, _ := os.ReadFile(path); string(now) != "foreign" {
		t.Error("another program's file was replaced")
	}
	do(t, os.Remove(path))
	do(t, table.Sync(t.Context()))
	if now, _ := os.ReadFile(path); !bytes.Contains(now, []byte(`"y"`)) {
		t.Errorf("the file is not written anew: %s", now)
	}
}

func TestStoreAway(t *testing.T) {
	client, network := connect(t)
	store := override.NewDynamoDB(client(), "control", "")
	cutOff := network()
	ctx := t.Context()
	a := override.New(override.Config{Store: store, Limit: 20 * time.Second})
	b := override.New(override.Config{Store: override.NewDynamoDB(client(), "control", "")})
	do(t, a.Set(ctx, back("known")))
	cutOff.cut.Store(true)
	for _, route := range []string{"x", "y"} {
		if err := a.Set(ctx, back(route)); err == nil || !strings.Contains(err.Error(), "this process alone") {
			t.Errorf("without a store: %v", err)
		}
	}
	if of(t, a, "known")+of(t, a, "x")+of(t, a, "y") != "legacylegacylegacy" {
		t.Error("a process is not safe alone")
	}
	do(t, b.Set(ctx, override.Override{Route: "y", Mode: override.Forward, By: "bob", Why: "mended"}))
	cutOff.cut.Store(false)
	do(t, a.Sync(ctx))
	do(t, b.Sync(ctx))
	for _, table := range []*override.Table{a, b} {
		if of(t, table, "x")+of(t, table, "y") != "legacyforward" {
			t.Errorf("together again there is %v", table.All())
		}
	}
	network().lose.Store(1)
	do(t, b.Set(ctx, back("z"))) // the SDK sends it again, and its own write is in the way
}

// TestExpiry also has the audit.
func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	var audit bytes.Buffer
	table := override.New(override.Config{Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&audit, nil))})
	o := back("x")
	o.Until = now.Add(time.Minute)
	do(t, table.Set(t.Context(), o))
	now = now.Add(time.Minute - 1)
	if _, ok := table.Of("x"); !ok {
		t.Error("it ends early")
	}
	now = now.Add(1)
	if _, ok := table.Of("x"); ok || len(table.All()) != 0 {
		t.Error("it does not end")
	}
	if err := table.Apply(o); err == nil || !strings.Contains(err.Error(), "it has passed") {
		t.Errorf("one that has ended: %v", err)
	}
	do(t, table.Sync(t.Context()))
	do(t, table.Sync(t.Context()))
	for _, want := range []string{`route=x from=none to=legacy by=ann why="a test"`, `route=x from=legacy to=none by=ann why="it has ended"`} {
		if strings.Count(audit.String(), want) != 1 || strings.Count(audit.String(), "route=x") != 2 {
			t.Errorf("the audit has not %s once:\n%s", want, &audit)
		}
	}
}

func TestRunStoresWhatWasApplied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "overrides.json")
	table := override.New(override.Config{Store: override.NewFile(path), Poll: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { table.Run(ctx) })
	defer running.Wait()
	defer cancel()
	do(t, table.Apply(back("x")))
	other := override.New(override.Config{Store: override.NewFile(path), Poll: time.Millisecond})
	running.Go(func() { other.Run(ctx) })
	for deadline := time.Now().Add(30 * time.Second); of(t, other, "x") == ""; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("another process does not see it")
		}
	}
}

// TestReadersSeeWholeOverrides is for the race detector, too.
func TestReadersSeeWholeOverrides(t *testing.T) {
	table := override.New(override.Config{})
	var all sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if o, ok := table.Of("x"); ok && o.Why != fmt.Sprint(o.Percent) {
					t.Errorf("%+v was never set", o)
					return
				}
			}
		})
	}
	for i := range 300 {
		do(t, table.Apply(override.Override{Route: "x", Mode: override.Split, Percent: float64(i % 100), By: "ann", Why: fmt.Sprint(i % 100)}))
	}
	close(done)
	all.Wait()
}

func TestValidate(t *testing.T) {
	for _, o := range []override.Override{
		{Route: "", Mode: override.Legacy, By: "a", Why: "b"},
		{Route: "x", Mode: "shadow", By: "a", Why: "b"},
		{Route: "x", Mode: override.Legacy, By: "", Why: "b"},
		{Route: "x", Mode: override.Legacy, By: "a", Why: strings.Repeat("b", 1025)},
		{Route: "x", Mode: override.Legacy, By: "a", Why: "b", Percent: 1},
		{Route: "x", Mode: override.Split, By: "a", Why: "b", Percent: math.NaN()},
		{Route: "x", Mode: override.Split, By: "a", Why: "b", Percent: 100.1},
	} {
		if o.Validate() == nil {
			t.Errorf("%+v is valid", o)
		}
	}
	table := override.New(override.Config{Store: override.NewDynamoDB(awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://127.0.0.1:1"),
	}), "t", "n")})
	if table.Set(t.Context(), override.Override{Route: "x"}) == nil || len(table.All()) != 0 {
		t.Error("an invalid override is in force")
	}
}
