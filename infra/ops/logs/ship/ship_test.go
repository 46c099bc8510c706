package ship_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/infra/opensearch"
	"github.com/banyan-fig/banyan/infra/opensearch/bulktest"
	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
	"github.com/banyan-fig/banyan/infra/ops/logs/ship"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// keeper keeps dead letters in memory.
type keeper struct {
	letters []ship.DeadLetter
	broken  bool
}

func (k *keeper) Write(_ context.Context, letters []ship.DeadLetter) ([]int, error) {
	if k.broken {
		all := make([]int, len(letters))
		for i := range all {
			all[i] = i
		}
		return all, errors.New("the queue is away")
	}
	k.letters = append(k.letters, letters...)
	return nil, nil
}

// world is a shipper and all around it.
type world struct {
	server  *bulktest.Server
	keeper  *keeper
	metrics *bytes.Buffer
	shipper *ship.Shipper
}

func newWorld(t testing.TB, f bulktest.Faults, change ...func(*ship.Config)) *world {
	t.Helper()
	w := &world{server: bulktest.Start(t, f), keeper: &keeper{}, metrics: &bytes.Buffer{}}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := opensearch.New(opensearch.Config{URL: w.server.URL, HTTP: &http.Client{Transport: transport}, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	cfg := ship.Config{
		Bulk: client, DeadLetters: w.keeper, Own: []string{"/aws/lambda/log-shipper"}, Pause: time.Millisecond, MaxPause: 4 * time.Millisecond,
		Metrics: emf.New(w.metrics, "N"), Functions: emf.New(w.metrics, "F"),
	}
	for _, c := range change {
		c(&cfg)
	}
	if w.shipper, err = ship.New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

// figures adds up what was written of each metric.
func (w *world) figures(t testing.TB) map[string]float64 {
	t.Helper()
	sum := map[string]float64{}
	for text := range strings.Lines(w.metrics.String()) {
		var one map[string]any
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		for name, v := range one {
			if f, ok := v.(float64); ok {
				sum[name] += f
			}
			for _, v := range asList(v) {
				sum[name] += v.(float64)
			}
		}
	}
	return sum
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func (w *world) want(t testing.TB, want map[string]float64) {
	t.Helper()
	got := w.figures(t)
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s is %v, want %v", name, got[name], v)
		}
	}
	if sum := got["LogCreated"] + got["LogDoubled"] + got["LogRefused"] + got["LogDropped"] + got["LogPending"]; sum != got["LogEvents"] {
		t.Errorf("%v events, but %v are accounted for: %v", got["LogEvents"], sum, got)
	}
}

var start = time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)

func pack(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(json.NewEncoder(z).Encode(v), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var ids atomic.Int64 // of log events; tests run at the same time

// delivery is a record with one event a message.
func delivery(t testing.TB, group, stream string, messages ...string) []byte {
	t.Helper()
	r := line.Record{MessageType: line.Data, Owner: "1", LogGroup: group, LogStream: stream}
	for _, m := range messages {
		r.LogEvents = append(r.LogEvents, line.Event{ID: fmt.Sprintf("%056d", ids.Add(1)), Timestamp: start.UnixMilli(), Message: m})
	}
	return pack(t, r)
}

func batchOf(records ...[]byte) (e awsevents.KinesisEvent) {
	for i, data := range records {
		e.Records = append(e.Records, awsevents.KinesisEventRecord{
			EventID: fmt.Sprintf("shardId-000000000000:%d", 1000+i),
			Kinesis: awsevents.KinesisRecord{Data: data, SequenceNumber: fmt.Sprint(1000 + i), PartitionKey: "k",
				ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: start.Add(time.Second)}},
		})
	}
	return e
}

// hand gives a batch to the shipper and returns the failures it named.
func (w *world) hand(t testing.TB, e awsevents.KinesisEvent) (failed []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return w.handWithin(t, ctx, e)
}

func (w *world) handWithin(t testing.TB, ctx context.Context, e awsevents.KinesisEvent) (failed []string) {
	t.Helper()
	answer, err := w.shipper.HandleKinesis(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range answer.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed
}

func messages(docs []bulktest.Document) (all []string) {
	for _, d := range docs {
		all = append(all, d.Text("message"))
	}
	return all
}

func TestDocument(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	structured := `{"level":"INFO","msg":"applied","correlation_id":"c-1","causation_id":"e-1","user":{"id":7},"n":1}`
	if failed := w.hand(t, batchOf(delivery(t, "/aws/lambda/timeline", "2026/11/22/[$LATEST]ab", structured, "plain text"))); failed != nil {
		t.Fatal(failed)
	}
	docs := w.server.Documents()
	first := docs[0]
	for path, want := range map[string]string{
		"message": structured, "level": "INFO", "msg": "applied", "correlation_id": "c-1", "causation_id": "e-1", "function": "timeline",
		"@timestamp": "2026-11-22T01:00:00.000Z", "log.group": "/aws/lambda/timeline", "log.stream": "2026/11/22/[$LATEST]ab", "account": "1",
	} {
		if got := first.Text(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if first.Index != "logs-2026.11.22" || !strings.HasPrefix(first.ID, first.Text("log.id")+"-") {
		t.Errorf("%s/%s", first.Index, first.ID)
	}
	if fields := first.Source["fields"]; fmt.Sprint(fields) != "map[n:1 user:map[id:7]]" {
		t.Errorf("fields %v", fields)
	}
	if docs[1].Text("message") != "plain text" || docs[1].Source["fields"] != nil || docs[0].Text("log.offset") >= docs[1].Text("log.offset") {
		t.Errorf("%v", docs[1])
	}
}

// TestIndexIsOfTheEventsDay, and of no day where that cannot be one.
func TestIndexIsOfTheEventsDay(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	var want []string
	var record = line.Record{MessageType: line.Data, LogGroup: "g", LogStream: "s"}
	for i, c := range []struct {
		at    int64
		index string
	}{
		{start.UnixMilli(), "logs-2026.11.22"}, {start.Add(-90 * time.Minute).UnixMilli(), "logs-2026.11.21"},
		{start.Add(-14 * 24 * time.Hour).UnixMilli(), "logs-2026.11.08"}, {start.Add(2 * time.Hour).UnixMilli(), "logs-2026.11.22"},
		{start.Add(-20 * 24 * time.Hour).UnixMilli(), "logs-undated"}, {start.Add(48 * time.Hour).UnixMilli(), "logs-undated"},
		{-1, "logs-undated"}, {1 << 62, "logs-undated"},
	} {
		record.LogEvents = append(record.LogEvents, line.Event{ID: fmt.Sprint(i), Timestamp: c.at, Message: "m"})
		want = append(want, c.index)
	}
	w.hand(t, batchOf(pack(t, record)))
	for i, d := range w.server.Documents() {
		if d.Index != want[i] || len(d.Text("@timestamp")) != len("2026-11-22T01:00:00.000Z") {
			t.Errorf("event %d of %s went to %s, want %s", i, d.Text("@timestamp"), d.Index, want[i])
		}
	}
	w.want(t, map[string]float64{"LogCreated": float64(len(want))})
}

// TestOffsetsSortAsText, whatever the lengths of sequence numbers are.
func TestOffsetsSortAsText(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	b := batchOf(delivery(t, "g", "s", "a", "b"), delivery(t, "g", "s", "c"))
	b.Records[0].Kinesis.SequenceNumber = "999" // the next one's is 1001
	w.hand(t, b)
	d := w.server.Documents()
	if x, y, z := d[0].Text("log.offset"), d[1].Text("log.offset"), d[2].Text("log.offset"); x >= y || y >= z {
		t.Errorf("offsets %s, %s, %s", x, y, z)
	}
}

// TestDoubledDeliveryIsOne: whole batches again, and the same event in another
// record, hours later.
func TestDoubledDeliveryIsOne(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	one, two := delivery(t, "g", "s", "a", "b"), delivery(t, "g", "s", "c")
	late := batchOf(one)
	late.Records[0].Kinesis.SequenceNumber = "9000"
	late.Records[0].Kinesis.ApproximateArrivalTimestamp.Time = start.Add(23 * time.Hour) // tomorrow
	for _, b := range []awsevents.KinesisEvent{batchOf(one, two), batchOf(one, two), late} {
		if failed := w.hand(t, b); failed != nil {
			t.Fatal(failed)
		}
	}
	if got := messages(w.server.Documents()); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("documents %v", got)
	}
	w.want(t, map[string]float64{"LogEvents": 8, "LogCreated": 3, "LogDoubled": 5})
}

// TestSecondCopyIsLeftOut: of two copies in one request the first counts, even
// if it is put off and the second would not have been.
func TestSecondCopyIsLeftOut(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, bulktest.Faults{Item429: 0.5, Seed: seed})
		one, two := delivery(t, "g", "s", "a", "b"), delivery(t, "g", "s", "c", "d")
		w.hand(t, batchOf(one, two, one))
		docs := w.server.Documents()
		slices.SortFunc(docs, func(a, b bulktest.Document) int { return strings.Compare(a.Text("log.offset"), b.Text("log.offset")) })
		if got := messages(docs); !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("seed %d: %v", seed, got)
		}
		w.want(t, map[string]float64{"LogEvents": 6, "LogCreated": 4, "LogDoubled": 2})
	}
}

// TestSameIDElsewhere is another event.
func TestSameIDElsewhere(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	var records [][]byte
	for _, place := range [][3]string{{"1", "g", "s"}, {"1", "g", "t"}, {"1", "h", "s"}, {"2", "g", "s"}} {
		records = append(records, pack(t, line.Record{
			MessageType: line.Data, Owner: place[0], LogGroup: place[1], LogStream: place[2],
			LogEvents: line.Events{{ID: "7", Timestamp: start.UnixMilli(), Message: "m"}},
		}))
	}
	w.hand(t, batchOf(records...))
	w.want(t, map[string]float64{"LogCreated": 4})
}

// TestRefusedDocuments: what OpenSearch does not take because of its fields is
// shipped without, and what it never takes is a dead letter; nothing is held up.
func TestRefusedDocuments(t *testing.T) {
	w := newWorld(t, bulktest.Faults{Refuse: func(source map[string]any) (int, string) {
		if source["fields"] != nil && source["level"] == "conflict" || source["message"] == "never" {
			return http.StatusBadRequest, "mapper_parsing_exception"
		}
		return 0, ""
	}})
	failed := w.hand(t, batchOf(delivery(t, "g", "s", "a", `{"level":"conflict","x":1}`, "never", "b"), []byte("no gzip"), delivery(t, "g", "s", "c")))
	if failed != nil {
		t.Fatal(failed)
	}
	docs := w.server.Documents()
	slices.SortFunc(docs, func(a, b bulktest.Document) int { return strings.Compare(a.Text("log.offset"), b.Text("log.offset")) })
	if got := messages(docs); !slices.Equal(got, []string{"a", `{"level":"conflict","x":1}`, "b", "c"}) {
		t.Errorf("documents %q", got)
	}
	if docs[1].Source["fields"] != nil || !strings.Contains(docs[1].Text("stripped"), "mapper_parsing_exception") {
		t.Errorf("stripped: %v", docs[1])
	}
	w.want(t, map[string]float64{"LogEvents": 5, "LogCreated": 4, "LogRefused": 1, "LogStripped": 1, "LogUndecodable": 1})
	if len(w.keeper.letters) != 2 || w.keeper.letters[0].Sequence != "1001" && w.keeper.letters[1].Sequence != "1001" {
		t.Fatalf("letters %+v", w.keeper.letters)
	}
	for _, l := range w.keeper.letters {
		if l.Message != "never" && string(l.Data) != "no gzip" || l.Reason == "" {
			t.Errorf("letter %+v", l)
		}
	}
}

// TestDeadLettersThatCannotBeWritten come again.
func TestDeadLettersThatCannotBeWritten(t *testing.T) {
	w := newWorld(t, bulktest.Faults{Refuse: func(source map[string]any) (int, string) {
		if source["message"] == "never" {
			return http.StatusBadRequest, "mapper_parsing_exception"
		}
		return 0, ""
	}})
	w.keeper.broken = true
	batch := batchOf(delivery(t, "g", "s", "a"), delivery(t, "g", "s", "never"), delivery(t, "g", "s", "b"))
	if failed := w.hand(t, batch); !slices.Equal(failed, []string{"1001"}) {
		t.Fatalf("failed %v", failed)
	}
	w.want(t, map[string]float64{"LogEvents": 3, "LogCreated": 2, "LogPending": 1, "LogRefused": 0})
	w.keeper.broken = false
	w.metrics.Reset()
	batch.Records = batch.Records[1:]
	if failed := w.hand(t, batch); failed != nil {
		t.Fatal(failed)
	}
	w.want(t, map[string]float64{"LogEvents": 2, "LogDoubled": 1, "LogRefused": 1})
}

// TestTooLarge: a request that is too large is divided, and one document that is
// too large alone is a dead letter.
func TestTooLarge(t *testing.T) {
	w := newWorld(t, bulktest.Faults{MaxBytes: 4000})
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	big := strings.Repeat("x", 5000)
	if failed := w.hand(t, batchOf(delivery(t, "g", "s", append(lines, big)...))); failed != nil {
		t.Fatal(failed)
	}
	if got := messages(w.server.Documents()); !slices.Equal(got, lines) {
		t.Errorf("documents %v", got)
	}
	if len(w.keeper.letters) != 1 || w.keeper.letters[0].Message != big || w.server.Counts().TooLarge == 0 {
		t.Errorf("%d letters, %+v", len(w.keeper.letters), w.server.Counts())
	}
}

// TestTooLargeAndStuck: when a half of a divided request cannot be settled, nothing
// of it is forgotten.
func TestTooLargeAndStuck(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refused := 0 // under the server's lock
	w := newWorld(t, bulktest.Faults{MaxBytes: 2000, Refuse: func(source map[string]any) (int, string) {
		if source["message"] != "stuck" {
			return 0, ""
		}
		if refused++; refused == 3 {
			cancel()
		}
		return http.StatusServiceUnavailable, "unavailable_shards_exception"
	}})
	long := strings.Repeat("x", 500)
	failed := w.handWithin(t, ctx, batchOf(delivery(t, "g", "s", "a"), delivery(t, "g", "s", "stuck"), delivery(t, "g", "s", long, long, long, long)))
	if !slices.Equal(failed, []string{"1001"}) || w.server.Counts().TooLarge == 0 {
		t.Errorf("failed %v, %+v", failed, w.server.Counts())
	}
	w.want(t, map[string]float64{"LogEvents": 6, "LogCreated": 2, "LogPending": 4})
}

// slowDown asks to wait once.
type slowDown struct {
	after    time.Duration
	attempts []time.Time
}

// Bulk implements ship.Bulk.
func (b *slowDown) Bulk(context.Context, []opensearch.Item) ([]opensearch.Status, error) {
	b.attempts = append(b.attempts, time.Now())
	if len(b.attempts) == 1 {
		return nil, &opensearch.Error{Status: http.StatusTooManyRequests, After: b.after}
	}
	return []opensearch.Status{{Code: http.StatusCreated}}, nil
}

// TestWaitsAsAskedTo by the server, however short its own pauses are.
func TestWaitsAsAskedTo(t *testing.T) {
	bulk := &slowDown{after: 60 * time.Millisecond}
	w := newWorld(t, bulktest.Faults{}, func(c *ship.Config) { c.Bulk = bulk })
	w.hand(t, batchOf(delivery(t, "g", "s", "a")))
	if len(bulk.attempts) != 2 || bulk.attempts[1].Sub(bulk.attempts[0]) < bulk.after {
		t.Errorf("attempts at %v", bulk.attempts)
	}
}

// TestRequestsAreBounded in bytes and in documents.
func TestRequestsAreBounded(t *testing.T) {
	w := newWorld(t, bulktest.Faults{MaxBytes: 20_000}, func(c *ship.Config) { c.MaxBytes, c.MaxDocuments = 20_000, 7 })
	var records [][]byte
	for range 5 {
		records = append(records, delivery(t, "g", "s", "1", "2", strings.Repeat("y", 9000), strings.Repeat("z", 9500), "5"))
	}
	if failed := w.hand(t, batchOf(records...)); failed != nil {
		t.Fatal(failed)
	}
	if c := w.server.Counts(); c.TooLarge > 0 || c.Items != 25 || c.Requests < 5 {
		t.Errorf("%+v", c)
	}
}

// TestWhatIsNotTheDocumentsFault is no dead letter, and holds the shard until the
// time is up; the answer names the first record that is not done.
func TestWhatIsNotTheDocumentsFault(t *testing.T) {
	for status, kind := range map[int]string{
		http.StatusTooManyRequests: "es_rejected_execution_exception", http.StatusForbidden: "cluster_block_exception",
		http.StatusBadRequest: "validation_exception", http.StatusNotFound: "index_not_found_exception",
		http.StatusServiceUnavailable: "unavailable_shards_exception",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, bulktest.Faults{Refuse: func(source map[string]any) (int, string) {
				if source["message"] == "stuck" {
					return status, kind
				}
				return 0, ""
			}}, func(c *ship.Config) { c.MaxDocuments = 3 })
			const timeout = 10 * time.Second // a fifth of it is kept in reserve
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			began := time.Now()
			failed := w.handWithin(t, ctx,
				batchOf(delivery(t, "g", "s", "a"), delivery(t, "g", "s", "stuck"), delivery(t, "g", "s", "b", "c"), delivery(t, "g", "s", "d")))
			if !slices.Equal(failed, []string{"1001"}) || len(w.keeper.letters) > 0 {
				t.Errorf("failed %v, letters %v", failed, w.keeper.letters)
			}
			if got := messages(w.server.Documents()); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("documents %v: the next request must wait", got)
			}
			if took := time.Since(began); took >= timeout {
				t.Errorf("it took %s, past the deadline", took)
			}
			w.want(t, map[string]float64{"LogEvents": 4, "LogCreated": 2, "LogPending": 2})
		})
	}
}

// TestOwnLogIsDropped: what the shipper itself logs is never shipped, and it does
// not write about it at each batch, which would be the next batch.
func TestOwnLogIsDropped(t *testing.T) {
	now := start
	w := newWorld(t, bulktest.Faults{}, func(c *ship.Config) { c.Now = func() time.Time { return now } })
	for range 50 {
		now = now.Add(time.Second)
		w.hand(t, batchOf(delivery(t, "/aws/lambda/log-shipper", "s", "REPORT of myself", "and more")))
	}
	if n := len(w.server.Documents()); n > 0 {
		t.Errorf("%d documents", n)
	}
	if lines := strings.Count(w.metrics.String(), "\n"); lines != 1 {
		t.Errorf("%d lines were written for 50 batches", lines)
	}
	w.metrics.Reset()
	w.hand(t, batchOf(delivery(t, "/aws/lambda/log-shipper", "s", "x"), delivery(t, "g", "s", "y")))
	w.want(t, map[string]float64{"LogEvents": 2, "LogCreated": 1, "LogDropped": 1})
}

const request = "8f507cfc-8f33-4a4c-a0b3-0d4a5d7a5a3"

func report(n int, more string) string {
	return fmt.Sprintf("REPORT RequestId: %s%d\tDuration: 10.50 ms\tBilled Duration: 11 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\t%s", request, n, more)
}

func startOf(n int) string { return fmt.Sprintf("START RequestId: %s%d Version: $LATEST", request, n) }

func TestPlatformMetrics(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	b := batchOf(delivery(t, "/aws/lambda/f", "s", startOf(1), report(1, "Init Duration: 100 ms"), startOf(2), report(2, "Status: timeout")),
		delivery(t, "/ecs/proxy", "proxy/proxy/1", report(3, ""))) // printed by anybody
	for range 2 { // the second time counts nothing
		w.hand(t, b)
	}
	w.want(
		t,
		map[string]float64{
			"Invocations":    2,
			"Duration":       21,
			"BilledDuration": 22,
			"InitDuration":   100,
			"ColdStarts":     1,
			"TimedOut":       1,
			"MemoryUsed":     80,
			"LogGaps":        0,
		},
	)
	if d := w.server.Documents()[1]; !strings.HasPrefix(d.Text("request_id"), request) || d.Text("platform.kind") != "report" {
		t.Errorf("%v", d)
	}
}

func TestGaps(t *testing.T) {
	for name, test := range map[string]struct {
		lines []string
		gaps  float64
	}{
		"none":                  {[]string{startOf(1), report(1, ""), startOf(2), report(2, "")}, 0},
		"begins in the middle":  {[]string{report(1, ""), startOf(2), report(2, "")}, 0},
		"a start is missing":    {[]string{startOf(1), report(1, ""), report(2, "")}, 1},
		"an end is missing":     {[]string{startOf(1), startOf(2), report(2, "")}, 1},
		"another one's end":     {[]string{startOf(1), report(2, "")}, 1},
		"no starts at all":      {[]string{report(1, "Status: timeout"), report(2, "Status: error"), report(3, "Status: timeout")}, 0},
		"ends in the middle":    {[]string{startOf(1), report(1, ""), startOf(2)}, 0},
		"nothing of a platform": {[]string{"a", "b"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, bulktest.Faults{Item429: 0.5, Seed: 3}) // put off and sent later: no hole
			b := batchOf(delivery(t, "/aws/lambda/f", "s", test.lines...))
			w.hand(t, b)
			w.hand(t, b) // once more: no other hole
			w.want(t, map[string]float64{"LogGaps": test.gaps})
		})
	}
}

func TestUnnamedRecordRefusesTheBatch(t *testing.T) {
	w := newWorld(t, bulktest.Faults{})
	b := batchOf(delivery(t, "g", "s", "a"))
	b.Records[0].Kinesis.SequenceNumber = "none"
	if _, err := w.shipper.HandleKinesis(t.Context(), b); err == nil || len(w.server.Documents()) > 0 {
		t.Errorf("error %v", err)
	}
}

// FuzzHandle: whatever is in a record, all events are accounted for.
func FuzzHandle(f *testing.F) {
	f.Add(
		[]byte(
			`{"messageType":"DATA_MESSAGE","logGroup":"/aws/lambda/f","logStream":"s","logEvents":[{"id":"1","timestamp":99999999999999999,"message":"{\"a\":1e400}"}]}`,
		),
		true,
	)
	f.Add([]byte("x"), false)
	f.Fuzz(func(t *testing.T, data []byte, packed bool) {
		if packed && json.Valid(data) {
			data = pack(t, json.RawMessage(data))
		}
		w := newWorld(t, bulktest.Faults{})
		if failed := w.hand(t, batchOf(data)); failed != nil {
			t.Errorf("failed %v", failed)
		}
		w.want(t, nil)
	})
}
