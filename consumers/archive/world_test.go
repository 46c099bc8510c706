package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evening is before a midnight that the streams of the tests cross.
var evening = time.Date(2016, 11, 21, 23, 59, 50, 0, time.UTC)

// stream is what shards were given, by seed: plain records and aggregates, events and bytes
// that are none, through a reshard.
type stream struct {
	random  *rand.Rand
	shards  map[string][]awsevents.KinesisEventRecord
	order   []string // of the shards, as they were made
	open    []string
	byKey   map[string][]string // the bytes, by partition key, in the order of publishing
	written int
	clock   time.Time
}

func newStream(seed uint64, records int) *stream {
	s := &stream{random: rand.New(rand.NewPCG(seed, 1)), shards: map[string][]awsevents.KinesisEventRecord{}, byKey: map[string][]string{}, clock: evening}
	s.reshard(2)
	for i := range records {
		if i == records/3 {
			s.reshard(4)
		}
		if i == records*2/3 {
			s.reshard(3)
		}
		s.put()
	}
	return s
}

// reshard closes all shards, and opens children of them.
func (s *stream) reshard(n int) {
	s.open = nil
	for range n {
		id := fmt.Sprintf("shardId-%012d", len(s.order))
		s.open, s.order = append(s.open, id), append(s.order, id)
	}
}

func (s *stream) put() {
	s.clock = s.clock.Add(time.Duration(s.random.IntN(200)) * time.Millisecond)
	at := s.random.IntN(len(s.open))
	key := func() string { return fmt.Sprintf("key-%d", s.random.IntN(5)*len(s.open)+at) } // of that shard, as long as it is open
	data := s.bytes()
	if s.random.IntN(2) == 0 {
		var b aggregate.Builder
		for range s.random.IntN(5) {
			b.Add(aggregate.Record{PartitionKey: key(), Data: s.bytes()})
		}
		data = b.Append(nil)
	}
	s.written++
	r := streamtest.Record(s.written, key(), data)
	r.EventID = s.open[at] + ":" + r.Kinesis.SequenceNumber
	r.EventSourceArn = "arn:aws:kinesis:us-east-1:000000000000:stream/events"
	jitter := time.Duration(s.random.IntN(400)) * time.Millisecond // arrival is approximate
	r.Kinesis.ApproximateArrivalTimestamp.Time = s.clock.Add(-jitter)
	for _, part := range consumers.SplitRecord(r.Kinesis) {
		s.byKey[part.PartitionKey] = append(s.byKey[part.PartitionKey], string(part.Data))
	}
	s.shards[s.open[at]] = append(s.shards[s.open[at]], r)
}

// bytes are those of an event, or of something else.
func (s *stream) bytes() []byte {
	n := s.random.IntN(1000)
	switch s.random.IntN(8) {
	case 0:
		return []byte("poison \xff\x00\n")
	case 1:
		return fmt.Appendf(nil, "{\n \"pretty\": %d\n}", n)
	case 2:
		return []byte{}
	case 3:
		return fmt.Appendf(nil, ` {"id":"%d" ,"id":"twice","number":1.0000000000000000000001e5,"text":"<é\u0041&>`+"\xff"+`"} `, n)[s.random.IntN(2):]
	case 4: // an aggregate, perhaps in an aggregate
		var b aggregate.Builder
		b.Add(aggregate.Record{PartitionKey: "inner", Data: []byte("x")})
		return b.Append(nil)
	}
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","data":{"spaces":  [ 1 , 2 ],"number":1.0000000000000000000001e5,"text":"<é\u0041&>`+"\xff"+`"}}`, n)
}

// want are the events of the stream as a consumer has them.
func (s *stream) want() []string {
	var all []string
	for _, id := range s.order {
		for _, r := range s.shards[id] {
			for sub, part := range consumers.SplitRecord(r.Kinesis) {
				all = append(all, text(id, r.Kinesis.SequenceNumber, sub, r.Kinesis.ApproximateArrivalTimestamp.Time, part.PartitionKey, part.Data))
			}
		}
	}
	return all
}

func text(shard, sequence string, sub int, arrived time.Time, key string, raw []byte) string {
	return fmt.Sprintf("%s %s %d %s %s %q", shard, sequence, sub, arrived.UTC().Format(time.RFC3339Nano), key, raw)
}

// deliver delivers each shard in batches until all is archived, some of them again and cut
// another way.
func (s *stream) deliver(t *testing.T, w *archive.Writer) {
	t.Helper()
	for _, id := range s.order {
		records := s.shards[id]
		for at, tries := 0, 0; at < len(records); tries++ {
			if tries > 200 {
				t.Fatalf("record %d of %s is not archived", at, id)
			}
			batch := records[at:min(at+1+s.random.IntN(20), len(records))]
			done := deliver(t, w, batch)
			switch s.random.IntN(5) {
			case 0: // the answer was lost
				continue
			case 1: // late, once more
				from := s.random.IntN(at + 1)
				deliver(t, w, records[from:min(at+1, from+9)])
			}
			if done > 0 {
				at, tries = at+done, 0
			}
		}
	}
}

// deliver returns how many of the first records are archived.
func deliver(t *testing.T, w *archive.Writer, batch []awsevents.KinesisEventRecord) int {
	t.Helper()
	payload, err := json.Marshal(awsevents.KinesisEvent{Records: batch}) // Lambda's bytes, with seconds as a fraction
	if err != nil {
		t.Fatal(err)
	}
	var e awsevents.KinesisEvent
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	answer, err := w.HandleKinesis(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.BatchItemFailures) == 0 {
		return len(batch)
	}
	for i, r := range batch {
		if r.Kinesis.SequenceNumber == answer.BatchItemFailures[0].ItemIdentifier {
			return i
		}
	}
	t.Fatalf("the answer names %v, which is not in the batch", answer.BatchItemFailures)
	return 0
}

// read reads a part of an archive, as texts and by key.
func read(t *testing.T, store archive.Store, within archive.Range) (all []string, byKey map[string][]string) {
	t.Helper()
	r, err := archive.NewReader(t.Context(), store, within)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	byKey = map[string][]string{}
	for record, err := range archive.All(t.Context(), r) {
		if err != nil {
			t.Fatal(err)
		}
		for sub, e := range record.Events {
			all = append(all, text(record.Shard, record.Sequence, sub, record.Arrived, e.Key, e.Raw))
			byKey[e.Key] = append(byKey[e.Key], string(e.Raw))
		}
	}
	return all, byKey
}

func verify(t *testing.T, store archive.Store) ([]archive.Problem, archive.Totals) {
	t.Helper()
	var problems []archive.Problem
	totals, err := archive.Verify(t.Context(), store, archive.Range{}, func(p archive.Problem) { problems = append(problems, p) })
	if err != nil {
		t.Fatal(err)
	}
	return problems, totals
}

// newS3 is an archive in S3 behind faults.
func newS3(t *testing.T, wrap func(http.Handler) http.Handler) archive.Store {
	client := s3test.Start(t, wrap)
	once := s3.New(client.Options(), func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	return archive.NewS3(once, s3test.Bucket(t, client), "archive/events")
}

// faults breaks one write in three, by seed: before it took effect, after it, or with a 503.
func faults(seed uint64) func(http.Handler) http.Handler {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 2))
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			fault := random.IntN(9)
			mu.Unlock()
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/events/") {
				fault = -1
			}
			switch fault {
			case 0:
				panic(http.ErrAbortHandler)
			case 1:
				next.ServeHTTP(&discarded{header: http.Header{}}, r)
				panic(http.ErrAbortHandler)
			case 2:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
}

type discarded struct {
	header http.Header
	bytes.Buffer
}

func (d *discarded) Header() http.Header { return d.header }
func (d *discarded) WriteHeader(int)     {}

// names are all objects of a store, below a folder.
func names(t *testing.T, store archive.Store, folder string) []string {
	t.Helper()
	var all []string
	folders, err := store.Folders(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		all = append(all, names(t, store, folder+f)...)
	}
	if len(folders) > 0 {
		return all
	}
	for name, err := range store.List(context.Background(), folder, "") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, name)
	}
	return all
}
