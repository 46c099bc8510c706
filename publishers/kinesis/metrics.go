package kinesis

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strconv"
)

// Metric is one number of a [Stats] as metrics systems want it.
type Metric struct {
	// Name is in the style of Prometheus, with the unit and "_total" for counters.
	Name string
	Help string
	// Shard is empty for what concerns the publisher as a whole. The names for
	// shards are others, so that nothing is summed twice.
	Shard string
	// Counter tells that the value only grows, from 0 at the start.
	Counter bool
	Value   float64
}

// metric says where a value is found.
type metric[S any] struct {
	name, help string
	counter    bool
	value      func(*S) float64
}

// counters are those of a publisher or of a shard.
func counters[S any](prefix string, of func(*S) *Counts) []metric[S] {
	counter := func(name, help string, value func(*Counts) int64) metric[S] {
		return metric[S]{prefix + name + "_total", help, true, func(s *S) float64 { return float64(value(of(s))) }}
	}
	return []metric[S]{
		counter("events", "Events that are in the stream.", func(c *Counts) int64 { return c.Events }),
		counter("event_bytes", "Bytes of the events that are in the stream.", func(c *Counts) int64 { return c.Bytes }),
		counter("failed_events", "Events given up with an error.", func(c *Counts) int64 { return c.Failed }),
		counter("records", "Kinesis records that carry the events.", func(c *Counts) int64 { return c.Records }),
		counter("requests", "PutRecords sent.", func(c *Counts) int64 { return c.Requests }),
		counter("retried_records", "Records sent again.", func(c *Counts) int64 { return c.Retries }),
		counter("throttles", "Records and requests refused for going too fast.", func(c *Counts) int64 { return c.Throttles }),
		counter("doubtful_requests", "Requests of which the outcome stayed unknown.", func(c *Counts) int64 { return c.Doubts }),
		counter("refused_requests", "Requests refused as a whole, such as for missing rights.", func(c *Counts) int64 { return c.Refused }),
		counter("misplaced_events", "Events sent again because they landed in the wrong shard.", func(c *Counts) int64 { return c.Misplaced }),
	}
}

func publisherMetrics() []metric[Stats] {
	const prefix = "banyan_publisher_"
	gauge := func(name, help string, value func(*Stats) float64) metric[Stats] {
		return metric[Stats]{prefix + name, help, false, value}
	}
	return append(counters(prefix, func(s *Stats) *Counts { return &s.Counts }),
		metric[Stats]{prefix + "reshards_total", "Times the shards were found to have changed.", true, func(s *Stats) float64 { return float64(s.Reshards) }},
		gauge("pending_events", "Events taken in and not settled.", func(s *Stats) float64 { return float64(s.Pending) }),
		gauge("pending_bytes", "Bytes of the events taken in and not settled.", func(s *Stats) float64 { return float64(s.PendingBytes) }),
		gauge("waiting_events", "Events whose callers wait for a place.", func(s *Stats) float64 { return float64(s.Waiting) }),
		gauge("oldest_age_seconds", "How long the oldest pending event has been waiting.", func(s *Stats) float64 { return s.OldestAge.Seconds() }),
		gauge("shards", "Open shards.", func(s *Stats) float64 { return float64(s.Shards) }),
	)
}

func shardMetrics() []metric[ShardStats] {
	const prefix = "banyan_publisher_shard_"
	gauge := func(name, help string, value func(*ShardStats) float64) metric[ShardStats] {
		return metric[ShardStats]{prefix + name, help, false, value}
	}
	return append(counters(prefix, func(s *ShardStats) *Counts { return &s.Counts }),
		gauge("pending_events", "Events of the shard taken in and not settled.", func(s *ShardStats) float64 { return float64(s.Pending) }),
		gauge("pending_bytes", "Bytes of the shard's events taken in and not settled.", func(s *ShardStats) float64 { return float64(s.PendingBytes) }),
		gauge("waiting_events", "Events of the shard whose callers wait for a place.", func(s *ShardStats) float64 { return float64(s.Waiting) }),
		gauge("oldest_age_seconds", "How long the oldest pending event of the shard has been waiting.", func(s *ShardStats) float64 { return s.OldestAge.Seconds() }),
		gauge("rate", "Learnt rate, 1 for the shard's documented limit, 0 for none.", func(s *ShardStats) float64 { return s.Rate }),
		gauge("failing", "1 while the last request of the shard failed.", func(s *ShardStats) float64 {
			if s.Failing == "" {
				return 0
			}
			return 1
		}),
	)
}

// Metrics goes through all numbers, those of one name after each other. It is
// what an exporter to any metrics system is made of; [Stats.WriteText] is one.
func (s Stats) Metrics() iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for _, m := range publisherMetrics() {
			if !yield(Metric{m.name, m.help, "", m.counter, m.value(&s)}) {
				return
			}
		}
		for _, m := range shardMetrics() {
			for i := range s.PerShard {
				if !yield(Metric{m.name, m.help, s.PerShard[i].Shard, m.counter, m.value(&s.PerShard[i])}) {
					return
				}
			}
		}
	}
}

// WriteText writes all numbers in the text format of Prometheus, version 0.0.4,
// which other systems read too. Serve it as "text/plain; version=0.0.4".
func (s Stats) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	last := ""
	for m := range s.Metrics() {
		if m.Name != last {
			last = m.Name
			kind := "gauge"
			if m.Counter {
				kind = "counter"
			}
			fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", m.Name, m.Help, m.Name, kind)
		}
		fmt.Fprintf(b, "%s{stream=%q", m.Name, s.Stream)
		if m.Shard != "" {
			fmt.Fprintf(b, ",shard=%q", m.Shard)
		}
		fmt.Fprintf(b, "} %s\n", strconv.FormatFloat(m.Value, 'g', -1, 64))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("publishers/kinesis: write metrics: %w", err)
	}
	return nil
}
