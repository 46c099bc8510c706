package archive_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/s3test"
)

// TestArchiveIsTheStream: whatever was delivered twice, in part, late, or while S3 failed, the
// archive has the stream's events, each once, with every byte.
func TestArchiveIsTheStream(t *testing.T) {
	for i := range 5 {
		seed := rand.Uint64()
		stores := map[string]archive.Store{"S3": newS3(t, faults(seed))}
		if i == 0 { // each write waits for the disk
			stores["files"] = archive.NewFiles(t.TempDir())
		}
		for name, store := range stores {
			s := newStream(seed, 250)
			s.deliver(t, &archive.Writer{Store: store})
			checkArchive(t, seed, name, s, store)
		}
	}
}

// TestPeerS3 does the same with another S3.
func TestPeerS3(t *testing.T) {
	client := s3test.Peer(t)
	store := archive.NewS3(client, s3test.Bucket(t, client), "archive/events")
	seed := rand.Uint64()
	s := newStream(seed, 100)
	s.deliver(t, &archive.Writer{Store: store})
	checkArchive(t, seed, "peer", s, store)
}

func checkArchive(t *testing.T, seed uint64, name string, s *stream, store archive.Store) {
	t.Helper()
	got, byKey := read(t, store, archive.Range{})
	slices.Sort(got)
	want := s.want()
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("seed %d, %s: %s", seed, name, diff)
	}
	if diff := cmp.Diff(s.byKey, byKey); diff != "" {
		t.Fatalf("seed %d, %s: the order of a key: %s", seed, name, diff)
	}
	if problems, _ := verify(t, store); len(problems) > 0 {
		t.Errorf("seed %d, %s: %v", seed, name, problems)
	}
}

// TestRanges: what is read between two times, and behind what was read already, is a part of
// the whole, and all parts are the whole.
func TestRanges(t *testing.T) {
	seed := rand.Uint64()
	s, store := newStream(seed, 140), newS3(t, nil)
	s.deliver(t, &archive.Writer{Store: store})
	all, _ := read(t, store, archive.Range{})

	middle := evening.Add(10 * time.Second) // midnight
	before, _ := read(t, store, archive.Range{Until: middle})
	after, _ := read(t, store, archive.Range{From: middle})
	both := append(slices.Clone(before), after...)
	slices.Sort(both)
	sorted := slices.Sorted(slices.Values(all))
	if len(before) == 0 || len(after) == 0 || !slices.Equal(both, sorted) {
		t.Errorf("seed %d: %d before midnight, %d after it, of %d", seed, len(before), len(after), len(all))
	}

	r, err := archive.NewReader(t.Context(), store, archive.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	read1, done := 0, map[string]string{}
	for range 40 {
		record, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		read1, done[record.Shard] = read1+len(record.Events), record.Sequence
	}
	rest, _ := read(t, store, archive.Range{After: done})
	if !slices.Equal(rest, all[read1:]) {
		t.Errorf("seed %d: %d events, then %d, of %d", seed, read1, len(rest), len(all))
	}
	some, _ := read(t, store, archive.Range{Shards: []string{s.order[1]}})
	if len(some) == 0 || slices.ContainsFunc(some, func(text string) bool { return !strings.HasPrefix(text, s.order[1]) }) {
		t.Errorf("seed %d: %d events of one shard", seed, len(some))
	}
}

// TestDataHasTheSameEvents at the same positions, when a record is delivered once more.
func TestDataHasTheSameEvents(t *testing.T) {
	s := newStream(rand.Uint64(), 200)
	for id, records := range s.shards {
		for _, r := range records {
			one := archive.NewRecord(id, r.Kinesis)
			again := r.Kinesis
			again.PartitionKey, again.Data = one.Events[0].Key, one.Data()
			if diff := cmp.Diff(one, archive.NewRecord(id, again)); diff != "" {
				t.Fatalf("%q became %q: %s", r.Kinesis.Data, again.Data, diff)
			}
		}
	}
}

// TestS3Down: nothing is lost, and nothing is answered before it is durable.
func TestS3Down(t *testing.T) {
	var down atomic.Bool
	store := newS3(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := newStream(1, 30)
	records := s.shards[s.order[0]]
	var reports []consumers.Report
	w := &archive.Writer{Store: store, Observe: func(_ context.Context, r consumers.Report) { reports = append(reports, r) }}
	down.Store(true)
	if done := deliver(t, w, records); done != 0 || len(reports) != 1 || reports[0].Failed != reports[0].Messages || len(reports[0].Errors) != 1 {
		t.Errorf("%d records are said to be archived while S3 is down: %+v", done, reports)
	}
	down.Store(false)
	if done := deliver(t, w, records); done != len(records) || reports[1].Applied != reports[1].Messages || len(reports[1].Lags) != reports[1].Messages {
		t.Errorf("%d of %d records: %+v", done, len(records), reports[1])
	}
	if got, _ := read(t, store, archive.Range{}); len(got) != reports[1].Messages {
		t.Errorf("%d events", len(got))
	}
}

// TestTwoDaysInABatch: what is behind the part that fails is delivered again.
func TestTwoDaysInABatch(t *testing.T) {
	var writes atomic.Int64
	store := newS3(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "day=2016-11-22") && writes.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	var batch []awsevents.KinesisEventRecord
	for i := range 4 {
		r := streamtest.Record(i, "k", []byte("x"))
		r.Kinesis.ApproximateArrivalTimestamp.Time = evening.Add(time.Duration(i) * 5 * time.Second)
		batch = append(batch, r)
	}
	w := &archive.Writer{Store: store}
	if done := deliver(t, w, batch); done != 2 {
		t.Errorf("%d records are archived, want those of the first day", done)
	}
	if done := deliver(t, w, batch[2:]); done != 2 {
		t.Errorf("%d records", done)
	}
	if got := names(t, store, "events/"); len(got) != 2 || !strings.Contains(got[1], "day=2016-11-22/shard=shardId-000000000000/") {
		t.Errorf("objects %v", got)
	}
}

// TestARecordOfOneMegabyte in an aggregate and alone.
func TestARecordOfOneMegabyte(t *testing.T) {
	store := archive.NewFiles(t.TempDir())
	large := []byte(strings.Repeat("\xff\n", 5<<20)) // 10 MiB, not compact
	r := streamtest.Record(1, "k", large)
	if done := deliver(t, &archive.Writer{Store: store}, []awsevents.KinesisEventRecord{r, streamtest.Record(2, "k", []byte("x"))}); done != 2 {
		t.Fatal("not archived")
	}
	if _, byKey := read(t, store, archive.Range{}); len(byKey["k"]) != 2 || byKey["k"][0] != string(large) {
		t.Errorf("%d events", len(byKey["k"]))
	}
}

// TestBatchesThatAreRefused are no success.
func TestBatchesThatAreRefused(t *testing.T) {
	w := &archive.Writer{Store: archive.NewFiles(t.TempDir())}
	for name, change := range map[string]func(*awsevents.KinesisEventRecord){
		"no sequence number":   func(r *awsevents.KinesisEventRecord) { r.Kinesis.SequenceNumber = "" },
		"no digits":            func(r *awsevents.KinesisEventRecord) { r.Kinesis.SequenceNumber = "49x" },
		"no shard":             func(r *awsevents.KinesisEventRecord) { r.EventID = "" },
		"a path for a shard":   func(r *awsevents.KinesisEventRecord) { r.EventID = "../../x:1" },
		"two dots for a shard": func(r *awsevents.KinesisEventRecord) { r.EventID = "..:1" },
	} {
		r := streamtest.Record(1, "k", []byte("x"))
		change(&r)
		if _, err := w.HandleKinesis(t.Context(), awsevents.KinesisEvent{Records: []awsevents.KinesisEventRecord{r}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestVerify finds everything that can be done to an archive.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	store := archive.NewFiles(dir)
	s := newStream(2, 130)
	s.deliver(t, &archive.Writer{Store: store})
	sealed := 0
	seal := func() error {
		return archive.Seal(t.Context(), store, evening.Add(24*time.Hour), func(string, int) { sealed++ })
	}
	if err := errors.Join(seal(), seal()); err != nil || sealed == 0 {
		t.Fatalf("%d manifests, %v", sealed, err)
	}
	problems, totals := verify(t, store)
	today := 0 // 22 November is not over
	for _, name := range names(t, store, "events/") {
		today += strings.Count(name, "day=2016-11-22")
	}
	if len(problems) > 0 || totals.Unsealed != today || today == 0 || totals.Events < len(s.want()) {
		t.Errorf("%v, %+v, %d of today", problems, totals, today)
	}

	objects := names(t, store, "events/day=2016-11-21/")
	manifests := names(t, store, "manifests/")
	victim := func(name string) string { return filepath.Join(dir, name) }
	content, err := os.ReadFile(victim(objects[0]))
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(content)
	flipped[4] ^= 1 // in gzip's header: what is decompressed stays the same
	for name, c := range map[string]struct {
		path string
		data []byte
		want error
	}{
		"missing":            {objects[0], nil, archive.ErrMissing},
		"truncated":          {objects[0], content[:len(content)-1], archive.ErrCorrupt},
		"empty":              {objects[0], []byte{}, archive.ErrCorrupt},
		"altered":            {objects[0], flipped, archive.ErrCorrupt},
		"longer":             {objects[0], append(slices.Clone(content), 0), archive.ErrCorrupt},
		"another's name":     {objects[1], content, archive.ErrCorrupt},
		"extra":              {filepath.Dir(objects[0]) + "/1" + filepath.Base(objects[0])[1:], content, archive.ErrExtra},
		"extra, of no name":  {filepath.Dir(objects[0]) + "/notes.txt", content, archive.ErrExtra},
		"altered manifest":   {manifests[0], []byte("{}"), archive.ErrCorrupt},
		"a manifest's bytes": {manifests[0], append(read1(t, victim(manifests[0])), ' '), archive.ErrCorrupt},
	} {
		before, err := os.ReadFile(victim(c.path))
		isNew := errors.Is(err, os.ErrNotExist)
		if c.data == nil {
			err = os.Remove(victim(c.path))
		} else {
			err = os.WriteFile(victim(c.path), c.data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		problems, _ := verify(t, store)
		if !slices.ContainsFunc(problems, func(p archive.Problem) bool {
			return errors.Is(p.Err, c.want) || isNew && errors.Is(p.Err, archive.ErrCorrupt)
		}) {
			t.Errorf("%s: %v", name, problems)
		}
		if isNew {
			err = os.Remove(victim(c.path))
		} else {
			err = os.WriteFile(victim(c.path), before, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if problems, _ := verify(t, store); len(problems) > 0 {
		t.Errorf("after all was put right: %v", problems)
	}
}

func read1(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestLateObjects are extra until the day is sealed once more; a day's manifests that are gone
// are missed by the next day's.
func TestLateObjects(t *testing.T) {
	dir := t.TempDir()
	store := archive.NewFiles(dir)
	w := &archive.Writer{Store: store}
	put := func(n int, at time.Time) {
		r := streamtest.Record(n, "k", []byte("x"))
		r.Kinesis.ApproximateArrivalTimestamp.Time = at
		deliver(t, w, []awsevents.KinesisEventRecord{r})
	}
	seal := func() {
		t.Helper()
		if err := archive.Seal(t.Context(), store, evening.Add(72*time.Hour), func(string, int) {}); err != nil {
			t.Fatal(err)
		}
	}
	put(1, evening)
	seal()
	put(2, evening)
	if problems, _ := verify(t, store); len(problems) != 1 || !errors.Is(problems[0].Err, archive.ErrExtra) {
		t.Errorf("%v", problems)
	}
	seal()
	put(3, evening.Add(24*time.Hour))
	seal()
	problems, totals := verify(t, store)
	if manifests := names(t, store, "manifests/"); len(problems) > 0 || totals.Unsealed != 0 || len(manifests) != 3 {
		t.Errorf("%v, %+v, manifests %v", problems, totals, manifests)
	}
	if err := os.RemoveAll(filepath.Join(dir, "manifests/day=2016-11-21")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "events/day=2016-11-21")); err != nil {
		t.Fatal(err)
	}
	if problems, _ := verify(t, store); len(problems) != 1 || !errors.Is(problems[0].Err, archive.ErrMissing) {
		t.Errorf("a day that is gone: %v", problems)
	}
}

// TestCorruptObjectsAreNotRead, and an error names them.
func TestCorruptObjectsAreNotRead(t *testing.T) {
	dir := t.TempDir()
	store := archive.NewFiles(dir)
	s := newStream(3, 40)
	s.deliver(t, &archive.Writer{Store: store})
	object := names(t, store, "events/")[0]
	content := read1(t, filepath.Join(dir, object))
	content[len(content)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, object), content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(t.Context(), store, archive.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, e := range archive.All(t.Context(), r) {
		err = e
	}
	if !errors.Is(err, archive.ErrCorrupt) || !strings.Contains(err.Error(), object) {
		t.Errorf("%v", err)
	}
	if err := archive.Seal(t.Context(), store, evening.Add(72*time.Hour), func(string, int) {}); !errors.Is(err, archive.ErrCorrupt) {
		t.Errorf("sealed: %v", err)
	}
}

// TestTwoStreamsInOneArchive are not mixed.
func TestTwoStreamsInOneArchive(t *testing.T) {
	store := archive.NewFiles(t.TempDir())
	w := &archive.Writer{Store: store}
	for _, data := range []string{"one", "two"} {
		deliver(t, w, []awsevents.KinesisEventRecord{streamtest.Record(1, "k", []byte(data))})
	}
	r, err := archive.NewReader(t.Context(), store, archive.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, e := range archive.All(t.Context(), r) {
		err = e
	}
	if !errors.Is(err, archive.ErrDifferent) {
		t.Errorf("%v", err)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"position":"` + events.Position{Sequence: "49"}.String() + `","arrived":"2016-11-21T09:00:00Z","key":"k","event":{"a": 1}}`))
	f.Add([]byte(`{"position":"` + events.Position{Sequence: "49"}.String() + `","arrived":"2016-11-21T09:00:00Z","key":"k","data":"eA=="}`))
	f.Fuzz(archive.CheckLine)
}
