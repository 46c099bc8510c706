package autoscale_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// reads lets minutes pass in which readers find so many records each, and nobody
// writes.
func (w *world) reads(stream string, minutes int, found float64) {
	w.t.Helper()
	for range minutes {
		w.must(w.record.Record(w.clock(), "AWS/Kinesis", "GetRecords.Records", found, "StreamName", stream))
		w.pass(1)
	}
}

// TestNothingIsKnown: no figures are not taken for no load, whoever keeps them
// back; that readers find nothing is.
func TestNothingIsKnown(t *testing.T) {
	for _, test := range []struct {
		name    string
		before  func(*world)
		want    autoscale.Action
		missing bool
	}{
		{"silence", func(w *world) { w.pass(300) }, autoscale.Nothing, true},
		{"silence after a load", func(w *world) { w.load("events", 40, all(0.1)); w.pass(12) }, autoscale.Nothing, true},
		{"silence after a great load", func(w *world) { w.load("events", 40, all(0.9)); w.pass(12) }, autoscale.Nothing, true},
		{"a hole", func(w *world) { w.load("events", 10, all(0.1)); w.pass(10); w.load("events", 20, all(0.1)) }, autoscale.Nothing, false},
		{"readers find records of which nothing is written", func(w *world) { w.reads("events", 60, 7) }, autoscale.Nothing, true},
		{"readers find nothing", func(w *world) { w.reads("events", 60, 0) }, autoscale.Down, false},
		{"readers find nothing for a while", func(w *world) {
			w.load("events", 10, all(0.1))
			w.reads("events", 10, 0)
			w.load("events", 20, all(0.1))
		}, autoscale.Down, false},
		{"readers found nothing just now", func(w *world) {
			w.load("events", 32, all(0.8))
			w.reads("events", 2, 0)
		}, autoscale.Up, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.stream("events", 8)
			test.before(w)
			if out := w.run(w.scaler()); out.Action != test.want || out.MetricsMissing != test.missing || out.Err != nil {
				t.Errorf("%+v", out)
			}
		})
	}
}

// TestRecordsCountToo: a shard is full by 1,000 of them a second, however small.
func TestRecordsCountToo(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	for range 3 {
		for _, s := range w.open("events") {
			w.must(w.record.Record(w.clock(), "AWS/Kinesis", "IncomingRecords", 51_000, "StreamName", "events", "ShardId", *s.ShardId))
		}
		w.must(w.record.Record(w.clock(), "AWS/Kinesis", "IncomingRecords", 4*51_000, "StreamName", "events"))
		w.pass(1)
	}
	w.expect(w.scaler(), autoscale.Up, true, 6)
}

// TestFiguresCannotBeRead: neither by an error nor by an answer without end.
func TestFiguresCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 8)
	w.reads("events", 60, 0)
	w.faults(func(operation string) fault.Kind {
		if operation == "GetMetricData" {
			return fault.Internal
		}
		return fault.None
	})
	if out := w.run(w.scaler()); out.Err == nil || out.Action != "" {
		t.Errorf("without metrics: %+v", out)
	}
}

// TestHotShardAfterAReshard: the minutes before it, whose shards are gone, do not
// hide which of the new ones is hot.
func TestHotShardAfterAReshard(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 4)
	w.load("events", 3, all(0.85))
	a := w.scaler()
	w.expect(a, autoscale.Up, true, 6)
	w.expect(a, autoscale.Confirm, true, 6)
	hot := *w.open("events")[2].ShardId
	w.load("events", 5, func(s types.Shard) float64 {
		if *s.ShardId == hot {
			return 0.95
		}
		return 0.3
	})
	if out := w.run(a); out.Action != autoscale.Split || out.Shard != hot {
		t.Errorf("%+v", out)
	}
}

// TestShardsWhoseFiguresAreMissing: a stream does not shrink while one of its
// shards may be hot unseen.
func TestShardsWhoseFiguresAreMissing(t *testing.T) {
	w := newWorld(t)
	w.stream("events", 8)
	w.load("events", 40, all(0.1))
	at := w.clock().Add(-10 * time.Minute)
	w.must(w.record.Record(at, "AWS/Kinesis", "IncomingBytes", 60<<20, "StreamName", "events"))
	if out := w.run(w.scaler()); out.Action != autoscale.Nothing || !strings.Contains(out.Reason, "do not add up") {
		t.Errorf("%+v", out)
	}
}
