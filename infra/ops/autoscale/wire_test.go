package autoscale_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	cloudwatchsandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	dynamodbsandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	kinesissandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// world is a stream, its metrics and the table of states, over the wire, with one
// clock that the test moves.
type world struct {
	t       *testing.T
	kinesis *kinesis.Client
	metrics *cloudwatch.Client
	table   *dynamodb.Client
	record  *cloudwatchsandbox.Server

	mu     sync.Mutex
	now    time.Time
	inject func(operation string) fault.Kind
	calls  map[string]int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon, calls: map[string]int{}}
	streams, err := kinesissandbox.New(kinesissandbox.Config{Now: w.clock, Transition: time.Minute, Fault: w.fault})
	w.must(err)
	w.record, err = cloudwatchsandbox.New(cloudwatchsandbox.Config{Now: w.clock, Fault: w.fault})
	w.must(err)
	tables := dynamodbsandbox.New(dynamodbsandbox.Config{Fault: func(operation, _ string) dynamodbsandbox.Fault {
		switch w.fault(operation, "").Kind {
		case fault.Throttle:
			return dynamodbsandbox.FaultThrottle
		case fault.TimeoutAfter:
			return dynamodbsandbox.FaultTimeoutAfter
		}
		return dynamodbsandbox.FaultNone
	}})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: transport},
		Retryer: func() aws.Retryer { return retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Millisecond) },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
	w.kinesis = kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.BaseEndpoint = serve(t, streams) })
	w.metrics = cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) { o.BaseEndpoint = serve(t, w.record) })
	w.table = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.BaseEndpoint = serve(t, tables) })
	_, err = w.table.CreateTable(t.Context(), autoscale.TableInput(autoscale.DefaultTable))
	w.must(err)
	return w
}

func serve(t *testing.T, h http.Handler) *string {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &server.URL
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) fault(operation, _ string) fault.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[operation]++
	if w.inject == nil {
		return fault.Fault{}
	}
	return fault.Fault{Kind: w.inject(operation), Delay: time.Millisecond}
}

func (w *world) faults(f func(operation string) fault.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inject = f
}

func (w *world) called(operation string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[operation]
}

// stream creates one whose shards are measured for themselves.
func (w *world) stream(name string, shards int32) {
	w.t.Helper()
	_, err := w.kinesis.CreateStream(w.t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	w.must(err)
	w.pass(2)
	_, err = w.kinesis.EnableEnhancedMonitoring(w.t.Context(),
		&kinesis.EnableEnhancedMonitoringInput{StreamName: &name, ShardLevelMetrics: []types.MetricsName{types.MetricsNameAll}})
	w.must(err)
}

func (w *world) pass(minutes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(time.Duration(minutes) * time.Minute)
}

// filter is for the open shards.
var filter = &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}

func (w *world) open(stream string) []types.Shard {
	w.t.Helper()
	out, err := w.kinesis.ListShards(w.t.Context(), &kinesis.ListShardsInput{StreamName: &stream, ShardFilter: filter})
	w.must(err)
	return out.Shards
}

// load lets minutes pass in which each shard has so much of its limit, and writes
// what Kinesis would write of them.
func (w *world) load(stream string, minutes int, of func(shard types.Shard) float64) {
	w.t.Helper()
	for range minutes {
		at, total := w.clock(), 0.0
		for _, s := range w.open(stream) {
			bytes := of(s) * 60 * (1 << 20)
			total += bytes
			w.must(w.record.Record(at, "AWS/Kinesis", "IncomingBytes", bytes, "StreamName", stream, "ShardId", *s.ShardId))
			w.must(w.record.Record(at, "AWS/Kinesis", "IncomingRecords", bytes/2000, "StreamName", stream, "ShardId", *s.ShardId))
		}
		w.must(w.record.Record(at, "AWS/Kinesis", "IncomingBytes", total, "StreamName", stream))
		w.must(w.record.Record(at, "AWS/Kinesis", "IncomingRecords", total/2000, "StreamName", stream))
		w.pass(1)
	}
}

func all(u float64) func(types.Shard) float64 { return func(types.Shard) float64 { return u } }

func (w *world) scaler(change ...func(*autoscale.Config)) *autoscale.Autoscaler {
	w.t.Helper()
	cfg := autoscale.Config{Now: w.clock, Policies: []autoscale.Policy{{Stream: "events", Min: 1, Max: 16}}}
	for _, c := range change {
		c(&cfg)
	}
	a, err := autoscale.New(w.kinesis, w.metrics, w.table, cfg)
	w.must(err)
	return a
}

func (w *world) run(a *autoscale.Autoscaler) autoscale.Outcome {
	w.t.Helper()
	out := a.Run(w.t.Context())
	if len(out) != 1 {
		w.t.Fatalf("%d outcomes", len(out))
	}
	return out[0]
}

func (w *world) expect(a *autoscale.Autoscaler, action autoscale.Action, done bool, shards int) autoscale.Outcome {
	w.t.Helper()
	out := w.run(a)
	if out.Err != nil || out.Action != action || out.Done != done {
		w.t.Errorf("got %+v, want %s, done %t", out, action, done)
	}
	w.pass(1)
	if n := len(w.open("events")); n != shards {
		w.t.Errorf("%d shards after %s, want %d", n, action, shards)
	}
	return out
}

// TestUpAndDown: from figures to shards and back, with a dry run before.
func TestUpAndDown(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	w.expect(w.scaler(func(c *autoscale.Config) { c.DryRun = true }), autoscale.Up, false, 4)
	a := w.scaler()
	w.load("events", 2, all(0.85))
	out := w.expect(a, autoscale.Up, true, 6)
	if out.Left != 10 || !strings.Contains(out.Reason, "from 4 to 6 shards") {
		t.Errorf("%+v", out)
	}
	w.expect(a, autoscale.Confirm, true, 6)
	w.expect(a, autoscale.Nothing, false, 6)
	w.load("events", 36, all(0.1))
	w.expect(a, autoscale.Down, true, 5) // the peak of the hour would need as many
	w.expect(a, autoscale.Confirm, true, 5)
	w.load("events", 100, all(0.1))
	w.expect(a, autoscale.Down, true, 3)
	for i, s := range w.open("events") {
		first, _ := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
		if got := fractionOf(first); math.Abs(got-float64(i)/3) > 1e-9 {
			t.Errorf("shard %d begins at %g", i, got)
		}
	}
}

// TestHotShardIsSplit, in the middle of its range, and cold neighbours are merged.
func TestHotShardIsSplit(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	hot := func(s types.Shard) float64 {
		if strings.HasSuffix(*s.ShardId, "2") {
			return 0.95
		}
		return 0.3
	}
	w.load("events", 3, hot)
	a := w.scaler()
	out := w.expect(a, autoscale.Split, true, 5)
	if !strings.HasSuffix(out.Shard, "2") {
		t.Errorf("split %s", out.Shard)
	}
	w.expect(a, autoscale.Confirm, true, 5)
	warm := func(s types.Shard) float64 {
		if n := (*s.ShardId)[len(*s.ShardId)-1]; n == '0' || n == '1' {
			return 0.1
		}
		return 0.55
	}
	w.load("events", 70, warm)
	out = w.expect(a, autoscale.Merge, true, 4)
	if !strings.HasSuffix(out.Shard, "0") || !strings.HasSuffix(out.Adjacent, "1") {
		t.Errorf("merged %s and %s", out.Shard, out.Adjacent)
	}
}

func TestOnDemandIsNotScaled(t *testing.T) {
	w := newWorld(t)
	_, err := w.kinesis.CreateStream(t.Context(),
		&kinesis.CreateStreamInput{StreamName: aws.String("events"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}})
	w.must(err)
	w.pass(2)
	if out := w.run(w.scaler()); out.Action != autoscale.Nothing || !strings.Contains(out.Reason, "on-demand") {
		t.Errorf("%+v", out)
	}
}

// TestTwoAtOnceActOnce: runs that overlap, and the same notification again.
func TestTwoAtOnceActOnce(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	w.atOnce(1)
	w.pass(1)
	w.expect(w.scaler(), autoscale.Confirm, true, 6) // now there is a state to replace
	w.load("events", 5, all(0.85))
	w.atOnce(2)
}

// atOnce runs eight, of which one may act.
func (w *world) atOnce(calls int) {
	t := w.t
	t.Helper()
	const runs = 8
	var wg sync.WaitGroup
	done := make([]autoscale.Outcome, runs)
	for i := range runs {
		a := w.scaler()
		wg.Go(func() { done[i] = a.Run(t.Context())[0] })
	}
	wg.Wait()
	n := 0
	for _, out := range done {
		if out.Err != nil {
			t.Errorf("%+v", out)
		}
		if out.Done && out.Action == autoscale.Up {
			n++
		}
	}
	if n != 1 || w.called("UpdateShardCount") != calls {
		t.Errorf("%d runs acted, with %d calls", n, w.called("UpdateShardCount"))
	}
}

// TestKilledInTheMiddle: after the state was written and before the stream was
// changed.
func TestKilledInTheMiddle(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	ctx, kill := context.WithCancel(t.Context())
	w.faults(func(operation string) fault.Kind {
		if operation == "UpdateShardCount" {
			kill()
			return fault.TimeoutBefore
		}
		return fault.None
	})
	if out := w.scaler().Run(ctx)[0]; out.Err == nil || out.Done {
		t.Errorf("killed: %+v", out)
	}
	w.faults(nil)
	a := w.scaler()
	w.expect(a, autoscale.Nothing, false, 4) // who wrote the state may yet be about to act
	w.expect(a, autoscale.Confirm, true, 4)
	w.load("events", 4, all(0.85))
	if out := w.expect(a, autoscale.Up, true, 6); out.Left != 9 {
		t.Errorf("the scaling that was begun is not counted: %+v", out)
	}
}

// TestADayIsTen: the eleventh scaling is a split, as the API would refuse it; also
// where the API counted more than the state has.
func TestADayIsTen(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	for i := range int32(10) { // by hand
		_, err := w.kinesis.UpdateShardCount(
			t.Context(),
			&kinesis.UpdateShardCountInput{
				StreamName:       aws.String("events"),
				TargetShardCount: aws.Int32(5 - i%2),
				ScalingType:      types.ScalingTypeUniformScaling,
			},
		)
		w.must(err)
		w.pass(2)
	}
	w.load("events", 3, all(0.85))
	a := w.scaler()
	if out := w.run(a); out.Err == nil || !strings.Contains(out.Err.Error(), "LimitExceededException") || out.Done {
		t.Errorf("%+v", out)
	}
	w.pass(1)
	w.expect(a, autoscale.Confirm, true, 4)
	w.load("events", 4, all(0.85))
	if out := w.expect(a, autoscale.Split, true, 5); out.Left != 0 || !strings.Contains(out.Reason, "used up") {
		t.Errorf("%+v", out)
	}
}

// TestUnderFaults: calls are throttled and answers lost all along; the stream is
// never beyond its limits, and ends where a calm one would.
func TestUnderFaults(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 2)
	r := rand.New(rand.NewPCG(seed(t), 7))
	w.faults(func(operation string) fault.Kind {
		if operation == "ListShards" || operation == "CreateTable" {
			return fault.None
		}
		switch n := r.IntN(100); {
		case n < 12:
			return fault.Throttle
		case n < 20:
			return fault.TimeoutAfter
		}
		return fault.None
	})
	for range 40 {
		a := w.scaler() // each a cold start
		n := float64(len(w.open("events")))
		w.load("events", 1, all(min(1, 8/n)))
		a.Run(t.Context())
		if n := len(w.open("events")); n > 16 {
			t.Fatalf("%d shards", n)
		}
	}
	if n := len(w.open("events")); n < 11 || n > 16 {
		t.Errorf("a load of 8 shards has %d", n)
	}
}

// TestServe: a notification is about its stream, anything else about all; what is
// done is logged and counted.
func TestServe(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	a := w.scaler(func(c *autoscale.Config) {
		c.Policies = append([]autoscale.Policy{{Stream: "other", Max: 2}}, c.Policies...)
	})
	alarm := func(stream string) json.RawMessage {
		message := fmt.Sprintf(`{"AlarmName":"a","NewStateValue":"ALARM","Trigger":{"Dimensions":[{"name":"StreamName","value":%q}]}}`, stream)
		event, err := json.Marshal(map[string]any{"Records": []any{map[string]any{"Sns": map[string]any{"Message": message}}}})
		w.must(err)
		return event
	}
	for _, test := range []struct {
		event json.RawMessage
		want  []string
	}{
		{alarm("other"), []string{`"Failures":1`, `"Stream":"other"`}}, // there is no such stream
		{alarm("unknown"), nil},
		{alarm("events"), []string{`"ScaledUp":1`, `"Stream":"events"`, `"Utilisation":85`, `"Shards":4`}},
		{json.RawMessage(`{"source":"aws.events"}`), []string{`"Stream":"events"`, `"Stream":"other"`}},
	} {
		var out, log bytes.Buffer
		if err := a.Serve(slog.New(slog.NewJSONHandler(&log, nil)), emf.New(&out, "Banyan/Operations"))(t.Context(), test.event); err != nil {
			t.Error(err)
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: metrics %s\nwant %s", test.event, &out, want)
			}
		}
		if test.want == nil && (out.Len() > 0 || !strings.Contains(log.String(), `"streams":["unknown"]`)) {
			t.Errorf("%s: metrics %s, log %s", test.event, &out, &log)
		}
		if changed := strings.Contains(log.String(), "changed the shards of a stream"); changed != strings.Contains(out.String(), `"ScaledUp":1`) {
			t.Errorf("%s: log %s", test.event, &log)
		}
	}
}
