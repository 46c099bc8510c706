package kinesis_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

var (
	sample = regexp.MustCompile(`^([a-z_]+)\{stream="facts"(,shard="shardId-\d{12}")?\} [0-9.e+-]+$`)
	header = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) .+$`)
)

// TestMetricsAreInTheTextFormat checks the grammar, and that each name is
// announced once, right before its samples.
func TestMetricsAreInTheTextFormat(t *testing.T) {
	w := newWorld(t, 2, sandbox.Config{})
	p := w.publisher(kinesis.Config{})
	for i := range 10 {
		w.enqueue(p, "k", i)
	}
	flush(t, p)
	var text strings.Builder
	if err := p.Stats().WriteText(&text); err != nil {
		t.Fatal(err)
	}
	announced, samples := make(map[string]int), make(map[string]int)
	last := ""
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSuffix(line, "\n")
		if h := header.FindStringSubmatch(line); h != nil {
			last = h[2]
			announced[last]++
			continue
		}
		s := sample.FindStringSubmatch(line)
		if s == nil || s[1] != last {
			t.Errorf("after the header of %q: %q", last, line)
			continue
		}
		if samples[last]++; (s[2] != "") != strings.HasPrefix(last, "banyan_publisher_shard_") {
			t.Errorf("wrong labels: %q", line)
		}
	}
	for name, n := range announced {
		want := 1
		if strings.HasPrefix(name, "banyan_publisher_shard_") {
			want = 2
		}
		if n != 2 || samples[name] != want {
			t.Errorf("%s: %d lines of header, %d samples", name, n, samples[name])
		}
	}
	for _, want := range []string{
		`banyan_publisher_events_total{stream="facts"} 10`, `banyan_publisher_event_bytes_total{stream="facts"} 40`,
		`banyan_publisher_shards{stream="facts"} 2`, `banyan_publisher_pending_events{stream="facts"} 0`,
		`banyan_publisher_shard_rate{stream="facts",shard="shardId-000000000001"} 0`,
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("without %s:\n%s", want, text.String())
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMetricsTellOfABrokenWriter(t *testing.T) {
	contains(t, kinesis.Stats{}.WriteText(brokenWriter{}), "broken pipe")
}

// TestStatsOfEachShard holds the sums against the parts, while something is
// pending in one of them.
func TestStatsOfEachShard(t *testing.T) {
	s := newStuck(t, 3)
	p := s.publisher(kinesis.Config{Client: s.client})
	for _, key := range s.keys(7, true) {
		s.enqueue(p, key, 0)
	}
	for _, key := range s.keys(11, false) {
		if _, err := s.enqueue(p, key, 0).result.Wait(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Millisecond)
	st := p.Stats()
	var events, bytes, pending, pendingBytes int
	for _, sh := range st.PerShard {
		events, bytes = events+int(sh.Events), bytes+int(sh.Bytes)
		pending, pendingBytes = pending+sh.Pending, pendingBytes+sh.PendingBytes
		if isStuck := sh.Shard == s.shard.id; (sh.Pending != 0) != isStuck || (sh.OldestAge > 0) != isStuck || (sh.Events == 0) != isStuck {
			t.Errorf("%+v", sh)
		}
	}
	if events != 11 || int64(events) != st.Events || int64(bytes) != st.Bytes || pending != 7 || pending != st.Pending || pendingBytes != st.PendingBytes {
		t.Errorf("%d events with %d bytes, %d pending with %d: %+v", events, bytes, pending, pendingBytes, st)
	}
	if st.OldestAge < 2*time.Millisecond || st.Stream != "facts" {
		t.Errorf("%+v", st)
	}
	if _, err := json.Marshal(st); err != nil { // for expvar
		t.Error(err)
	}
	s.release()
	flush(t, p)
	if st := p.Stats(); st.Events != 18 || st.Pending != 0 || st.PendingBytes != 0 || st.OldestAge != 0 {
		t.Errorf("%+v", st)
	}
}
