package streams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// model is a stream in memory whose time, failures and iterators the test
// decides: what no real stream lets one do.
type model struct {
	mu       sync.Mutex
	random   *rand.Rand
	shards   []*modelShard
	trouble  float64 // how often a call fails
	next     int     // sequence number
	refusals int
}

type modelShard struct {
	streams.Shard
	records []streams.Record
	trimmed int
}

func (m *model) fails() bool { return m.random.Float64() < m.trouble }

var errTrouble = errors.New("trouble")

func (m *model) Shards(context.Context) ([]streams.Shard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails() {
		return nil, errTrouble
	}
	var out []streams.Shard
	for _, s := range m.shards {
		out = append(out, s.Shard)
	}
	return out, nil
}

func (m *model) find(id string) *modelShard {
	i := slices.IndexFunc(m.shards, func(s *modelShard) bool { return s.ID == id })
	return m.shards[i]
}

func (m *model) Iterator(_ context.Context, id string, at streams.Position) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.find(id)
	if m.fails() {
		return "", errTrouble
	}
	n := 0
	switch at.Start {
	case streams.TrimHorizon:
		n = s.trimmed
	case streams.Latest:
		n = len(s.records)
	case streams.AtTimestamp:
		for n < len(s.records) && s.records[n].Arrived.Before(at.Time) {
			n++
		}
	default:
		n = slices.IndexFunc(s.records, func(r streams.Record) bool { return r.Sequence == at.Sequence })
		if n < s.trimmed {
			m.refusals++
			return "", streams.ErrTrimmed
		}
		if at.Start == streams.AfterSequenceNumber {
			n++
		}
	}
	return strconv.Itoa(n), nil
}

func (m *model) Read(_ context.Context, id, iterator string, limit int) (streams.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.find(id)
	from, err := strconv.Atoi(iterator)
	switch {
	case err != nil:
		return streams.Page{}, err
	case m.fails():
		return streams.Page{}, errTrouble
	case m.fails():
		return streams.Page{}, streams.ErrIteratorExpired
	}
	to := min(from+1+m.random.IntN(limit), len(s.records))
	page := streams.Page{Records: slices.Clone(s.records[from:to]), Next: strconv.Itoa(to)}
	if s.Closed && to == len(s.records) {
		page.Next = ""
	}
	return page, nil
}

// put adds a record to an open shard that the key belongs to.
func (m *model) put(key int, text string, arrived time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var open []*modelShard
	for _, s := range m.shards {
		if !s.Closed {
			open = append(open, s)
		}
	}
	s := open[key%len(open)]
	m.next++
	r := streams.Record{Sequence: strconv.Itoa(m.next), Key: fmt.Sprint(key), Arrived: arrived}
	r.Event, _ = json.Marshal(seen{Key: r.Key, Sequence: r.Sequence, Text: text})
	s.records = append(s.records, r)
}

// reshard closes all open shards and opens n others, whose parents they are.
func (m *model) reshard(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var parents []string
	for _, s := range m.shards {
		if !s.Closed {
			s.Closed = true
			parents = append(parents, s.ID)
		}
	}
	for range n {
		m.shards = append(m.shards, &modelShard{Shard: streams.Shard{ID: fmt.Sprint("shard", len(m.shards)), Parents: parents}})
	}
}

type seen struct{ Key, Sequence, Text string }

// recorder is a function that notes what it is given and answers as told.
type recorder struct {
	mu      sync.Mutex
	batches [][]seen
	answer  func(batch []seen) streams.Outcome
}

func (r *recorder) Invoke(_ context.Context, payload []byte) streams.Outcome {
	var event struct{ Records []seen }
	if err := json.Unmarshal(payload, &event); err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := streams.Outcome{}
	if r.answer != nil {
		out = r.answer(event.Records)
	}
	if !out.Undelivered {
		r.batches = append(r.batches, event.Records)
	}
	return out
}

func (r *recorder) all() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Concat(r.batches...)
}

// bin is an on-failure destination.
type bin struct {
	mu     sync.Mutex
	refuse int // so many sends fail first
	got    []streams.Discarded
}

func (b *bin) Send(_ context.Context, d streams.Discarded) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse > 0 {
		b.refuse--
		return errTrouble
	}
	b.got = append(b.got, d)
	return nil
}

func (b *bin) discarded() []streams.Discarded {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

var quick = streams.Pace{Idle: time.Millisecond, Backoff: 100 * time.Microsecond, BackoffMax: time.Millisecond}

func start(m *streams.Mapping, s streams.Settings) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx, s)
	}()
	return func() {
		cancel()
		<-done
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}

// Under failing reads, expiring iterators, failing functions, partial batches,
// lost answers, duplicates, reshards, and stops at any moment with other
// settings afterwards: each record reaches the function, and the first sight of
// a key's records is in their order.
func TestSimulation(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { simulate(t, seed) }) {
			return
		}
	}
}

func simulate(t *testing.T, seed uint64) {
	const records, keys = 300, 7
	random := rand.New(rand.NewPCG(seed, 1))
	m := &model{random: rand.New(rand.NewPCG(seed, 2)), trouble: .05}
	m.reshard(1 + random.IntN(3))
	answers := rand.New(rand.NewPCG(seed, 3))
	r := &recorder{answer: func(batch []seen) streams.Outcome { return somehow(answers, batch) }}
	mapping := streams.New(streams.Config{Source: m, Invoker: r, Pace: quick, Status: streams.NewStatus()})
	settings := func() streams.Settings {
		return streams.Settings{
			BatchSize: 1 + random.IntN(20), Lanes: 1 + random.IntN(4), Retries: streams.Unlimited, Bisect: random.IntN(2) == 0,
			ReportFailures: true, Start: streams.Position{Start: streams.TrimHorizon},
		}
	}
	stop := start(mapping, settings())
	defer func() { stop() }()
	for n := range records {
		m.put(n%keys, fmt.Sprint(n), time.Now())
		switch random.IntN(40) {
		case 0:
			m.reshard(1 + random.IntN(4))
		case 1:
			stop()
			stop = start(mapping, settings())
		case 2:
			time.Sleep(time.Duration(random.IntN(2000)) * time.Microsecond) // as requests come
		}
	}
	firsts := map[string][]int{}
	eventually(t, "all records are seen", func() bool {
		clear(firsts)
		known, total := map[string]bool{}, 0
		for _, s := range r.all() {
			if !known[s.Sequence] {
				known[s.Sequence] = true
				number, _ := strconv.Atoi(s.Text)
				firsts[s.Key] = append(firsts[s.Key], number)
				total++
			}
		}
		return total == records
	})
	for key, numbers := range firsts {
		if !slices.IsSorted(numbers) {
			t.Errorf("key %s was first seen in the order %v", key, numbers)
		}
	}
}

// somehow answers as a function in trouble would.
func somehow(random *rand.Rand, batch []seen) streams.Outcome {
	switch random.IntN(10) {
	case 0:
		return streams.Outcome{FunctionError: "Unhandled"}
	case 1:
		return streams.Outcome{Undelivered: true}
	case 2, 3:
		failed := batch[random.IntN(len(batch))].Sequence
		return streams.Outcome{Payload: []byte(`{"batchItemFailures":[{"itemIdentifier":"` + failed + `"}]}`)}
	case 4:
		return streams.Outcome{Again: streams.Again{Deliver: true, From: random.Float64(), Later: random.IntN(2) == 0}}
	}
	return streams.Outcome{}
}

// Records that have grown too old are given up on, also while they are retried.
func TestRecordsGrowTooOld(t *testing.T) {
	m := &model{random: rand.New(rand.NewPCG(1, 1))}
	m.reshard(1)
	for n := range 3 {
		m.put(1, "old", time.Now().Add(-time.Hour+time.Duration(n)))
	}
	m.put(1, "young", time.Now())
	b, r := &bin{}, &recorder{answer: func(batch []seen) streams.Outcome { return streams.Outcome{FunctionError: "Unhandled"} }}
	stop := start(streams.New(streams.Config{Source: m, Invoker: r, Destination: b, Pace: quick, Status: streams.NewStatus()}),
		streams.Settings{BatchSize: 10, Lanes: 1, Retries: streams.Unlimited, MaxAge: 3 * time.Second, Start: streams.Position{Start: streams.TrimHorizon}})
	defer stop()
	eventually(t, "all are given up on", func() bool { return len(b.discarded()) == 2 })
	got := b.discarded()
	if got[0].Condition != streams.AgeExceeded || len(got[0].Records) != 3 || got[0].Invocations != 0 {
		t.Errorf("first: %+v", got[0])
	}
	if got[1].Condition != streams.AgeExceeded || len(got[1].Records) != 1 || got[1].Invocations < 2 {
		t.Errorf("second: %+v", got[1])
	}
	for _, s := range r.all() {
		if s.Text == "old" {
			t.Error("a record was delivered that was too old")
		}
	}
}

// A destination that refuses is tried again; one that refuses for good does not
// hold the shard.
func TestDestinationThatRefuses(t *testing.T) {
	for refusals, want := range map[int]int{3: 1, 1000: 0} {
		m := &model{random: rand.New(rand.NewPCG(1, 1))}
		m.reshard(1)
		m.put(1, "bad", time.Now())
		m.put(1, "good", time.Now())
		b := &bin{refuse: refusals}
		r := &recorder{answer: func(batch []seen) streams.Outcome {
			if batch[0].Text == "bad" {
				return streams.Outcome{FunctionError: "Unhandled"}
			}
			return streams.Outcome{}
		}}
		stop := start(streams.New(streams.Config{Source: m, Invoker: r, Destination: b, Pace: quick, Status: streams.NewStatus()}),
			streams.Settings{BatchSize: 1, Lanes: 1, Start: streams.Position{Start: streams.TrimHorizon}})
		eventually(t, "the shard goes on", func() bool {
			all := r.all()
			return len(all) > 0 && all[len(all)-1].Text == "good"
		})
		stop()
		if n := len(b.discarded()); n != want {
			t.Errorf("%d refusals: the destination got %d", refusals, n)
		}
	}
}

// A position that the stream no longer holds gives way to the oldest there is.
func TestTrimmedPosition(t *testing.T) {
	m := &model{random: rand.New(rand.NewPCG(1, 1))}
	m.reshard(1)
	m.put(1, "0", time.Now())
	r := &recorder{}
	mapping := streams.New(streams.Config{Source: m, Invoker: r, Pace: quick, Status: streams.NewStatus()})
	s := streams.Settings{BatchSize: 1, Lanes: 1, Start: streams.Position{Start: streams.TrimHorizon}}
	stop := start(mapping, s)
	eventually(t, "the first is seen", func() bool { return len(r.all()) == 1 })
	stop()
	for n := range 4 {
		m.put(1, fmt.Sprint(n+1), time.Now())
	}
	m.mu.Lock()
	m.shards[0].trimmed = 3
	m.mu.Unlock()
	stop = start(mapping, s)
	defer stop()
	eventually(t, "the last is seen", func() bool { all := r.all(); return all[len(all)-1].Text == "4" })
	if all := r.all(); len(all) != 3 || all[1].Text != "3" || m.refusals == 0 {
		t.Errorf("seen %v", all)
	}
}
