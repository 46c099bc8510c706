package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/backoff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func post(author string, n int) events.Payload {
	return social.PostPublished{PostID: fmt.Sprintf("%06d", n), AuthorID: author, Text: fmt.Sprint("text ", n), PublishedAt: streamtest.Start}
}

// journal remembers what was handled and what became a dead letter.
type journal struct {
	mu      sync.Mutex
	handled []string // subjects
	letters []consumers.DeadLetter
	refuse  error // what Put returns
}

func (j *journal) Put(_ context.Context, d consumers.DeadLetter) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.refuse == nil {
		j.letters = append(j.letters, d)
	}
	return j.refuse
}

// handler fails for the posts named.
func (j *journal) handler(failing map[string]error) consumers.Handler {
	return func(_ context.Context, m consumers.Message) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		id := strings.TrimPrefix(m.Event.Subject, "post/")
		j.handled = append(j.handled, id)
		return failing[id]
	}
}

func run(t *testing.T, cfg consumers.Config, records ...awsevents.KinesisEventRecord) []string {
	t.Helper()
	c, err := consumers.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: records})
	if err != nil {
		t.Fatal(err)
	}
	failed := []string{}
	for _, f := range out.BatchItemFailures {
		failed = append(failed, strings.TrimLeft(f.ItemIdentifier[4:], "0"))
	}
	return failed
}

// one is a record with one post, many is one with several in an aggregate.
func one(t *testing.T, n int, author string) awsevents.KinesisEventRecord {
	return streamtest.Record(n, author, streamtest.Data(t, streamtest.Event(t, post(author, n))))
}

func many(t *testing.T, n int, authors ...string) awsevents.KinesisEventRecord {
	all := make([]events.Event, len(authors))
	for i, a := range authors {
		all[i] = streamtest.Event(t, post(a, n*100+i))
	}
	return streamtest.Record(n, authors[0], streamtest.Data(t, all...))
}

func TestOutcomes(t *testing.T) {
	wrong, table := errors.New("wrong"), consumers.Unavailable(errors.New("table away"))
	garbage := streamtest.Record(2, "x", []byte("no event"))
	for _, c := range []struct {
		name    string
		policy  consumers.Policy
		records []awsevents.KinesisEventRecord
		failing map[string]error
		refuse  error
		failed  []string // numbers reported
		letters int
		handled int // distinct posts
	}{
		{name: "all well", records: recs(one(t, 1, "a"), one(t, 2, "b"), many(t, 3, "a", "b")), handled: 4},
		{name: "none at all"},
		{name: "stale is as good as applied", records: recs(one(t, 1, "a")), failing: fails("000001", consumers.ErrStale), handled: 1},
		{
			name: "a dead letter, and the rest of its key is handled", records: recs(one(t, 1, "a"), one(t, 2, "a")),
			failing: fails("000001", wrong), letters: 1, handled: 2,
		},
		{name: "garbage is a dead letter", records: recs(one(t, 1, "a"), garbage, one(t, 3, "a")), letters: 1, handled: 2},
		{
			name: "dead letters fail: reported, not dropped", records: recs(one(t, 1, "a"), garbage, one(t, 3, "x")),
			refuse: wrong, failed: []string{"2"}, handled: 1,
		},
		{name: "halted by garbage", policy: consumers.Halt, records: recs(one(t, 1, "a"), garbage, one(t, 3, "a")), failed: []string{"2"}, handled: 2},
		{
			name: "halted in the midst of an aggregate", policy: consumers.Halt, records: recs(one(t, 1, "a"), many(t, 2, "a", "a", "a"), one(t, 3, "a")),
			failing: fails("000201", wrong), failed: []string{"2"}, handled: 3,
		},
		{
			name: "no table: no dead letters", records: recs(one(t, 1, "a"), one(t, 2, "a")),
			failing: fails("000001", table), failed: []string{"1"}, handled: 1,
		},
		{
			name: "the lowest of several", policy: consumers.Halt, records: recs(one(t, 1, "a"), one(t, 2, "b"), one(t, 3, "c")),
			failing: map[string]error{"000003": wrong, "000002": wrong}, failed: []string{"2"}, handled: 3,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &journal{refuse: c.refuse}
			got := run(t, consumers.Config{
				Name: "test", Handler: j.handler(c.failing), Policy: c.policy, DeadLetters: j, Attempts: 1, Concurrency: 1 + len(c.records),
			}, c.records...)
			if !slices.Equal(got, append([]string{}, c.failed...)) {
				t.Errorf("reported %v, want %v", got, c.failed)
			}
			slices.Sort(j.handled)
			if n := len(slices.Compact(j.handled)); len(j.letters) != c.letters || n > c.handled || len(c.failed) == 0 && n != c.handled {
				t.Errorf("%d dead letters, handled %v; want %d and %d", len(j.letters), j.handled, c.letters, c.handled)
			}
		})
	}
}

func recs(r ...awsevents.KinesisEventRecord) []awsevents.KinesisEventRecord { return r }

func fails(id string, err error) map[string]error { return map[string]error{id: err} }

func TestDeadLetterIsWhole(t *testing.T) {
	poison := []byte("{\"specversion\": \x00\xff poison")
	aggregated := many(t, 1, "a", "b")
	r := streamtest.Record(2, "the key", poison)
	j := &journal{}
	now := streamtest.Start.Add(time.Hour)
	run(t, consumers.Config{
		Name: "test", Handler: j.handler(fails("000101", consumers.Permanent(errors.New("no such thing")))), DeadLetters: j,
		Now: func() time.Time { return now },
	}, aggregated, r)
	if len(j.letters) != 2 {
		t.Fatalf("%d dead letters, want 2", len(j.letters))
	}
	slices.SortFunc(j.letters, func(a, b consumers.DeadLetter) int { return strings.Compare(a.Position.String(), b.Position.String()) })
	sub, whole := j.letters[0], j.letters[1]
	if sub.Position != (events.Position{Sequence: streamtest.Sequence(1), Sub: 1}) || sub.PartitionKey != "b" || sub.EventType != "post.published" ||
		sub.EventID == "" || sub.Reason != "no such thing" || sub.Consumer != "test" || sub.At != now || sub.Arrived != streamtest.Start {
		t.Errorf("of the aggregate: %+v", sub)
	}
	if e, err := events.Decode(sub.Raw); err != nil || e.ID != sub.EventID {
		t.Errorf("its bytes decode to %v, %v", e, err)
	}
	if string(whole.Raw) != string(poison) || whole.PartitionKey != "the key" || whole.EventID != "" || whole.Reason == "" ||
		whole.Shard != "shardId-000000000000" {
		t.Errorf("of the poison: %+v", whole)
	}
}

// TestOrder: at random, each key is handled in the order of the stream and
// never twice at the same time, and different keys do run together.
func TestOrder(t *testing.T) { synctest.Test(t, handlesInOrder) }

func handlesInOrder(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var records []awsevents.KinesisEventRecord
	for n := 1; n <= 150; n++ {
		authors := make([]string, 1+r.IntN(4))
		for i := range authors {
			authors[i] = fmt.Sprint("author", r.IntN(9))
		}
		records = append(records, many(t, n, authors...))
	}
	var mu sync.Mutex
	last, busy, most := map[string]events.Position{}, map[string]bool{}, 0
	handler := func(_ context.Context, m consumers.Message) error {
		key := m.Event.PartitionKey
		mu.Lock()
		if busy[key] || !last[key].Before(m.Position) {
			t.Errorf("seed %d: %s at %v after %v, busy %v", seed, key, m.Position, last[key], busy[key])
		}
		busy[key], last[key] = true, m.Position
		most = max(most, len(busy))
		mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		mu.Lock()
		delete(busy, key)
		mu.Unlock()
		return nil
	}
	if failed := run(t, consumers.Config{Name: "test", Handler: handler, Policy: consumers.Halt, Concurrency: 4}, records...); len(failed) > 0 {
		t.Errorf("seed %d: reported %v", seed, failed)
	}
	if most < 2 || most > 4 {
		t.Errorf("seed %d: %d at the same time, want more than one and at most 4", seed, most)
	}
}

// TestHaltStopsLaterMessages: after a failure, later records are not begun, and
// none of the same key is ever.
func TestHaltStopsLaterMessages(t *testing.T) { synctest.Test(t, runsNothingInVain) }

func runsNothingInVain(t *testing.T) {
	var records []awsevents.KinesisEventRecord
	for n := 1; n <= 50; n++ {
		records = append(records, one(t, n, fmt.Sprint("author", n%5)))
	}
	j := &journal{}
	handle := j.handler(fails("000010", errors.New("wrong")))
	later := func(ctx context.Context, m consumers.Message) error {
		if m.Position.Sequence > streamtest.Sequence(10) {
			time.Sleep(50 * time.Millisecond) // until the failure is known
		}
		return handle(ctx, m)
	}
	failed := run(t, consumers.Config{Name: "test", Handler: later, Policy: consumers.Halt, Attempts: 1, Concurrency: 3}, records...)
	if !slices.Equal(failed, []string{"10"}) {
		t.Errorf("reported %v", failed)
	}
	if len(j.handled) > 10+3 || !slices.Contains(j.handled, "000009") || slices.Contains(j.handled, "000015") {
		t.Errorf("handled %v", j.handled)
	}
}

func TestStopsBeforeTheDeadline(t *testing.T) { synctest.Test(t, stopsBeforeTheDeadline) }

func stopsBeforeTheDeadline(t *testing.T) {
	var records []awsevents.KinesisEventRecord
	for n := 1; n <= 20; n++ {
		records = append(records, one(t, n, "a"))
	}
	j := &journal{}
	slow := func(ctx context.Context, m consumers.Message) error {
		select {
		case <-time.After(60 * time.Millisecond):
			return j.handler(nil)(ctx, m)
		case <-ctx.Done():
			return fmt.Errorf("slow: %w", ctx.Err())
		}
	}
	var report consumers.Report
	c, err := consumers.New(consumers.Config{Name: "test", Handler: slow, DeadLetters: j, Observe: func(_ context.Context, r consumers.Report) { report = r }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	out, err := c.HandleKinesis(ctx, awsevents.KinesisEvent{Records: records})
	if err != nil || ctx.Err() != nil {
		t.Fatalf("not in time: %v, %v", err, ctx.Err())
	}
	n := len(j.handled)
	if n == 0 || n > 8 || len(out.BatchItemFailures) != 1 || out.BatchItemFailures[0].ItemIdentifier != streamtest.Sequence(n+1) {
		t.Errorf("handled %d, reported %v", n, out.BatchItemFailures)
	}
	if len(j.letters) != 0 || report.Applied != n || report.Unhandled != 20-n || report.Messages != 20 {
		t.Errorf("dead letters %v, report %+v", j.letters, report)
	}
}

// TestOwnTimeoutIsTheEventsFault: in contrast to the end of the function's time.
func TestOwnTimeoutIsTheEventsFault(t *testing.T) {
	j := &journal{}
	hang := func(ctx context.Context, _ consumers.Message) error { <-ctx.Done(); return ctx.Err() }
	failed := run(t, consumers.Config{Name: "test", Handler: hang, DeadLetters: j, Timeout: 5 * time.Millisecond, Attempts: 2}, one(t, 1, "a"))
	if len(failed) != 0 || len(j.letters) != 1 || !strings.Contains(j.letters[0].Reason, "not done after 5ms") {
		t.Errorf("reported %v, dead letters %+v", failed, j.letters)
	}
}

func TestRetriesAndPanics(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		attempts int
	}{
		"an error":           {errors.New("now and then"), 3},
		"a permanent one":    {consumers.Permanent(errors.New("for ever")), 1},
		"an unavailable one": {consumers.Unavailable(errors.New("away")), 3},
		"a panic":            {nil, 3},
	} {
		attempts := 0
		j := &journal{}
		run(t, consumers.Config{Name: "test", DeadLetters: j, Attempts: 3, Handler: func(context.Context, consumers.Message) error {
			attempts++
			if c.err == nil {
				panic("index out of range")
			}
			return c.err
		}}, one(t, 1, "a"))
		if attempts != c.attempts {
			t.Errorf("%s: %d attempts, want %d", name, attempts, c.attempts)
		}
		if c.err == nil && (len(j.letters) != 1 || !strings.Contains(j.letters[0].Reason, "index out of range")) {
			t.Errorf("%s: dead letters %+v", name, j.letters)
		}
	}
}

// TestMiddlewareThatPanics costs its event alone, not the process and the batch.
func TestMiddlewareThatPanics(t *testing.T) {
	for name, broken := range map[string]consumers.Middleware{
		"for one event": func(next consumers.Handler) consumers.Handler {
			return func(ctx context.Context, m consumers.Message) error {
				if m.Event.PartitionKey == "a" {
					panic("index out of range")
				}
				return next(ctx, m)
			}
		},
		"without a handler": func(consumers.Handler) consumers.Handler { return nil },
	} {
		j := &journal{}
		handled := 0
		failed := run(t, consumers.Config{
			Name: "test", DeadLetters: j, Middleware: []consumers.Middleware{broken}, Concurrency: 1,
			Handler: func(context.Context, consumers.Message) error { handled++; return nil },
		}, one(t, 1, "a"), one(t, 2, "b"))
		if len(failed) > 0 || len(j.letters)+handled != 2 || len(j.letters) == 0 || !strings.Contains(j.letters[0].Reason, "panicked") {
			t.Errorf("%s: failed %v, handled %d, dead letters %+v", name, failed, handled, j.letters)
		}
	}
}

func TestRetryWaitsWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started, attempts := time.Now(), 0
		retry := consumers.Retry(4, backoff.Backoff{Min: 4 * time.Second, Max: 8 * time.Second})
		h := retry(func(context.Context, consumers.Message) error { attempts++; return errors.New("again") })
		if err := h(t.Context(), consumers.Message{}); err == nil || attempts != 4 {
			t.Errorf("%d attempts, %v", attempts, err)
		}
		if waited := time.Since(started); waited < 10*time.Second || waited > 20*time.Second {
			t.Errorf("waited %v, want a half to the whole of 4+8+8 s", waited)
		}
	})
}

func TestCorrelationReachesTheHandler(t *testing.T) {
	e := streamtest.Event(t, post("a", 1))
	var got correlation.IDs
	run(t, consumers.Config{Name: "test", Policy: consumers.Halt, Handler: func(ctx context.Context, _ consumers.Message) error {
		got = correlation.From(ctx)
		return nil
	}}, streamtest.Record(1, "a", streamtest.Data(t, e)))
	if want := (correlation.IDs{TraceParent: e.TraceParent, CorrelationID: e.CorrelationID, CausationID: e.ID, Chain: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestALoopEnds: a function that publishes what it is invoked by, each time as a new event.
func TestALoopEnds(t *testing.T) {
	e, j, calls := streamtest.Event(t, post("a", 1)), &journal{}, 0
	c, err := consumers.New(consumers.Config{Name: "test", DeadLetters: j, MaxChain: 5, Handler: func(ctx context.Context, m consumers.Message) error {
		calls++
		next, err := events.New(ctx, "/loop", m.Payload)
		e = next
		return err
	}, Registry: social.Registry()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		record := streamtest.Record(n+1, "a", streamtest.Data(t, e))
		if _, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{record}}); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 5 || len(j.letters) != 5 || !strings.Contains(j.letters[0].Reason, "6 functions handled what led to this message, at most 5 may") {
		t.Errorf("%d calls, dead letters %+v", calls, j.letters)
	}
}

// TestSampledDebugTravels: every function decides alike, what is published says so, and who
// handles that follows whatever its own part is.
func TestSampledDebugTravels(t *testing.T) {
	sampled := 0
	for range 1000 {
		e := streamtest.Event(t, post("a", 1))
		var seen [2]bool
		for i, part := range []float64{0.25, 0} {
			run(t, consumers.Config{
				Name: "test", Policy: consumers.Halt, Middleware: []consumers.Middleware{consumers.SampleDebug(part)}, Registry: social.Registry(),
				Handler: func(ctx context.Context, m consumers.Message) (err error) {
					seen[i] = correlation.From(ctx).Debug
					e, err = events.New(ctx, "/next", m.Payload)
					return err
				},
			}, streamtest.Record(1, "a", streamtest.Data(t, e)))
		}
		if seen[0] != seen[1] {
			t.Fatalf("the first function decided %t, the second %t", seen[0], seen[1])
		}
		if seen[0] {
			sampled++
		}
	}
	if sampled < 150 || sampled > 350 { // seven deviations
		t.Errorf("%d of 1000 correlations were sampled, want about 250", sampled)
	}
}

func TestMiddlewareIsInOrder(t *testing.T) {
	var order []string
	mark := func(name string) consumers.Middleware {
		return func(next consumers.Handler) consumers.Handler {
			return func(ctx context.Context, m consumers.Message) error {
				order = append(order, name)
				return next(ctx, m)
			}
		}
	}
	run(t, consumers.Config{Name: "test", Policy: consumers.Halt, Middleware: []consumers.Middleware{mark("outer"), mark("inner")},
		Handler: func(context.Context, consumers.Message) error { order = append(order, "handler"); return nil }}, one(t, 1, "a"))
	if !slices.Equal(order, []string{"outer", "inner", "handler"}) {
		t.Errorf("got %v", order)
	}
}

func TestShardsAreReportedEachOnItsOwn(t *testing.T) {
	a, b, c := one(t, 1, "a"), one(t, 2, "b"), one(t, 3, "c")
	b.EventID = "shardId-000000000007:" + streamtest.Sequence(2)
	j := &journal{}
	failing := map[string]error{"000001": errors.New("x"), "000002": errors.New("x")}
	failed := run(t, consumers.Config{Name: "test", Handler: j.handler(failing), Policy: consumers.Halt, Attempts: 1, Concurrency: 1}, a, b, c)
	if !slices.Equal(failed, []string{"1", "2"}) || slices.Contains(j.handled, "000003") {
		t.Errorf("reported %v, handled %v", failed, j.handled)
	}
}

func TestRecordWithoutSequenceNumber(t *testing.T) {
	j := &journal{}
	c, err := consumers.New(consumers.Config{Name: "test", Handler: j.handler(nil), DeadLetters: j})
	if err != nil {
		t.Fatal(err)
	}
	bad := one(t, 1, "a")
	bad.Kinesis.SequenceNumber = ""
	if _, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: recs(one(t, 2, "a"), bad)}); err == nil || len(j.handled) != 0 {
		t.Errorf("got %v, handled %v", err, j.handled)
	}
}

func TestRedrive(t *testing.T) {
	j := &journal{}
	failing := fails("000001", errors.New("not yet"))
	c, err := consumers.New(consumers.Config{Name: "test", Handler: j.handler(failing), DeadLetters: j, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: recs(one(t, 1, "a"))}); err != nil || len(j.letters) != 1 {
		t.Fatal(err, j.letters)
	}
	if err := c.Redrive(t.Context(), j.letters[0]); err == nil {
		t.Error("redriven while it still fails")
	}
	failing["000001"] = consumers.ErrStale
	if err := c.Redrive(t.Context(), j.letters[0]); err != nil {
		t.Error(err)
	}
	j.letters[0].Raw = []byte("garbage")
	if err := c.Redrive(t.Context(), j.letters[0]); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("garbage: %v", err)
	}
}

func TestValidateNamesEverything(t *testing.T) {
	_, err := consumers.New(consumers.Config{Attempts: -1, Middleware: []consumers.Middleware{nil}})
	for _, want := range []string{"Name", "Handler", "DeadLetters", "Attempts", "Middleware"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
