package replay_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/events/aggregate"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// live is a stream with two generations of shards.
type live struct {
	t      *testing.T
	client *awskinesis.Client
	byKey  map[string][]string // what was published
	random *rand.Rand
}

func newLive(t *testing.T, seed uint64) *live {
	t.Helper()
	server, err := kinesis.New(kinesis.Config{Unlimited: true, Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	l := &live{t, awskinesis.NewFromConfig(sandboxtest.Config(t, web.URL)), map[string][]string{}, rand.New(rand.NewPCG(seed, 5))}
	if _, err := l.client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: aws.String("events"), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	l.waitUntilActive()
	return l
}

func (l *live) waitUntilActive() {
	l.t.Helper()
	eventually.True(l.t, "an active stream", func() bool {
		out, err := l.client.DescribeStreamSummary(l.t.Context(), &awskinesis.DescribeStreamSummaryInput{StreamName: aws.String("events")})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == "ACTIVE"
	})
}

func (l *live) publish(n int) {
	l.t.Helper()
	for range n {
		key := fmt.Sprint("key-", l.random.IntN(20))
		data := fmt.Appendf(nil, `{"n":%d}`, l.random.IntN(1000))
		l.byKey[key] = append(l.byKey[key], string(data))
		if l.random.IntN(2) == 0 {
			var b aggregate.Builder
			b.Add(aggregate.Record{PartitionKey: key, Data: data})
			data = b.Append(nil)
		}
		if _, err := l.client.PutRecord(l.t.Context(), &awskinesis.PutRecordInput{StreamName: aws.String("events"), PartitionKey: &key, Data: data}); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *live) reshard(n int32) {
	l.t.Helper()
	_, err := l.client.UpdateShardCount(l.t.Context(), &awskinesis.UpdateShardCountInput{
		StreamName: aws.String("events"), TargetShardCount: &n, ScalingType: "UNIFORM_SCALING",
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.waitUntilActive()
}

func (l *live) open(within archive.Range) *archive.Merge {
	l.t.Helper()
	m, err := replay.Stream{Client: l.client, Name: "events", Pause: time.Millisecond}.Open(l.t.Context(), within)
	if err != nil {
		l.t.Fatal(err)
	}
	return m
}

func (l *live) read(c archive.Cursor) (records []archive.Record, byKey map[string][]string) {
	l.t.Helper()
	byKey = map[string][]string{}
	for r, err := range archive.All(l.t.Context(), c) {
		if err != nil {
			l.t.Fatal(err)
		}
		records = append(records, r)
		for _, e := range r.Events {
			byKey[e.Key] = append(byKey[e.Key], string(e.Raw))
		}
	}
	return records, byKey
}

// archive archives records as the function would.
func (l *live) archive(store archive.Store, records []archive.Record) {
	l.t.Helper()
	var e awsevents.KinesisEvent
	for _, r := range records {
		e.Records = append(e.Records, awsevents.KinesisEventRecord{EventID: r.Shard + ":" + r.Sequence, Kinesis: awsevents.KinesisRecord{
			SequenceNumber: r.Sequence, PartitionKey: r.Events[0].Key, Data: r.Data(),
			ApproximateArrivalTimestamp: awsevents.SecondsEpochTime{Time: r.Arrived},
		}})
	}
	if answer, err := (&archive.Writer{Store: store}).HandleKinesis(l.t.Context(), e); err != nil || len(answer.BatchItemFailures) > 0 {
		l.t.Fatal(answer, err)
	}
}

// TestArchiveAndStream together give each record once, those of a key in order, across a
// reshard, wherever the archive ends; and the archive is held to the stream.
func TestArchiveAndStream(t *testing.T) {
	seed := rand.Uint64()
	l := newLive(t, seed)
	l.publish(40)
	l.reshard(4)
	l.publish(40)
	l.reshard(2)
	l.publish(20)
	all, byKey := l.read(l.open(archive.Range{}))
	if diff := cmp.Diff(l.byKey, byKey); diff != "" || len(all) != 100 {
		t.Fatalf("seed %d: the stream: %d records, %s", seed, len(all), diff)
	}

	store := archive.NewFiles(t.TempDir())
	end := 30 + l.random.IntN(40)
	l.archive(store, all[:end])
	reader, err := archive.NewReader(t.Context(), store, archive.Range{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	both, byKey := l.read(archive.NewMerge(reader, l.open(archive.Range{})))
	if diff := cmp.Diff(l.byKey, byKey); diff != "" {
		t.Errorf("seed %d: archive and stream: %s", seed, diff)
	}
	after := map[string]string{}
	for _, r := range both[:end] {
		after[r.Shard] = r.Sequence
	}
	isSame := func(a, b archive.Record) bool { return a.Sequence == b.Sequence }
	if rest, _ := l.read(l.open(archive.Range{After: after})); !slices.EqualFunc(rest, all[end:], isSame) {
		t.Errorf("seed %d: %d records are behind the first %d", seed, len(rest), end)
	}

	l.checkSources(seed, store)
	missing := 0
	compare := func(settled time.Time) archive.Comparison {
		t.Helper()
		missing = 0
		c, err := archive.Compare(t.Context(), store, l.open(archive.Range{}), settled, func(archive.Record) { missing++ })
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := compare(all[0].Arrived); c.Pending != 100-end || missing != 0 || c.Records != 100 {
		t.Errorf("seed %d: %+v, %d missing of %d", seed, c, missing, 100-end)
	}
	l.archive(store, all[end+1:])
	if c := compare(time.Now().Add(time.Hour)); c.Pending != 0 || missing != 1 {
		t.Errorf("seed %d: %+v, %d missing, want 1", seed, c, missing)
	}
	l.archive(store, all[end:])
	if c := compare(time.Now().Add(time.Hour)); c.Pending != 0 || missing != 0 {
		t.Errorf("seed %d: %+v, %d missing", seed, c, missing)
	}
}

// checkSources: a replay from both has all, once, and one that goes on has nothing more.
func (l *live) checkSources(seed uint64, store archive.Store) {
	l.t.Helper()
	var mu sync.Mutex
	byKey := map[string][]string{}
	r := &replay.Replay{StreamARN: streamARN, Batch: 7, Function: invoker(func(payload []byte, sequences []string) int {
		var e awsevents.KinesisEvent
		if err := json.Unmarshal(payload, &e); err != nil {
			l.t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, record := range e.Records {
			for _, event := range archive.NewRecord("", record.Kinesis).Events {
				byKey[event.Key] = append(byKey[event.Key], string(event.Raw))
			}
		}
		return len(sequences)
	})}
	sources := replay.Sources{Archive: store, Stream: &replay.Stream{Client: l.client, Name: "events", Pause: time.Millisecond}}
	p, _ := replay.LoadProgress("", "")
	for range 2 {
		until, err := sources.Replay(l.t.Context(), r, archive.Range{}, &p, func(replay.Progress) error { return nil })
		if diff := cmp.Diff(l.byKey, byKey); err != nil || diff != "" || p.Records != 100 || until.IsZero() {
			l.t.Errorf("seed %d: %v, %+v, until %v: %s", seed, err, p, until, diff)
		}
	}
}
