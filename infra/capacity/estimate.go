package capacity

import (
	"fmt"
	"math"
)

const (
	hours   = 730
	seconds = hours * 3600
	gib     = 1 << 30
	million = 1e6
)

// Way is the load carried with or without aggregation, and what that costs.
type Way struct {
	Stream    Stream    `json:"stream"`
	Functions Functions `json:"functions"`
	Monthly   Monthly   `json:"monthlyUSD"`
}

// Monthly is dollars a month.
type Monthly struct {
	StreamProvisioned float64 `json:"streamProvisioned"`
	StreamOnDemand    float64 `json:"streamOnDemand"`
	// FanOut is enhanced fan-out, where it is used; it comes on top.
	FanOutProvisioned float64 `json:"fanOutProvisioned,omitempty"`
	FanOutOnDemand    float64 `json:"fanOutOnDemand,omitempty"`
	Functions         float64 `json:"functions"`
	TablesOnDemand    float64 `json:"tablesOnDemand"`
	TablesProvisioned float64 `json:"tablesProvisioned"`
	// Least and Most are the sums of the cheaper and of the dearer modes.
	Least float64 `json:"least"`
	Most  float64 `json:"most"`
}

// Queue compares the two ways to take messages from a queue, in dollars a month.
type Queue struct {
	Loops   int     `json:"loops"`
	Loop    float64 `json:"loopUSD"`
	Mapping float64 `json:"mappingUSD"`
}

// Estimate is all that a load needs and costs.
type Estimate struct {
	Load     Load     `json:"load"`
	Prices   Prices   `json:"prices"`
	With     Way      `json:"aggregated"`
	Without  Way      `json:"plain"`
	Tables   Tables   `json:"tables"`
	Queue    *Queue   `json:"queue,omitempty"`
	Warnings []string `json:"warnings"`
}

// New makes an estimate.
func New(l Load, p Prices) (Estimate, error) {
	if err := l.Validate(); err != nil {
		return Estimate{}, err
	}
	l = l.withDefaults()
	e := Estimate{Load: l, Prices: p, Tables: l.Tables(), Warnings: []string{}}
	e.With, e.Without = l.way(true, e.Tables, p), l.way(false, e.Tables, p)
	if l.Messages > 0 {
		q := l.queue(p)
		e.Queue = &q
	}
	e.warn()
	return e, nil
}

func (l Load) way(aggregated bool, t Tables, p Prices) Way {
	w := Way{Stream: l.Needed(aggregated)}
	w.Functions = l.Functions(w.Stream)
	s, f, m := w.Stream, w.Functions, &w.Monthly
	out := s.Bytes * float64(l.ReadModels) * seconds / gib
	m.StreamProvisioned = float64(s.Shards)*hours*p.usd(shardHour) + s.PutUnits*seconds/million*p.usd(putUnits)
	m.StreamOnDemand = hours*p.usd(streamHour) + s.InBytes*seconds/gib*p.usd(streamIn)
	if l.EnhancedFanOut {
		m.FanOutProvisioned = float64(s.Shards*l.ReadModels)*hours*p.usd(fanoutHour) + out*p.usd(fanoutOut)
		m.FanOutOnDemand = out * p.usd(fanoutOnDemand)
	} else {
		m.StreamOnDemand += out * p.usd(streamOut)
	}
	m.Functions = f.Invocations*seconds/million*p.usd(invocations) + f.GBSeconds*seconds*l.second(p)
	m.TablesOnDemand = t.WriteUnits * seconds / million * p.usd(writeRequest)
	m.TablesProvisioned = math.Ceil(t.WriteUnits/l.Use) * hours * p.usd(writeHour)
	provisioned, onDemand := m.StreamProvisioned+m.FanOutProvisioned, m.StreamOnDemand+m.FanOutOnDemand
	m.Least = min(provisioned, onDemand) + m.Functions + min(m.TablesOnDemand, m.TablesProvisioned)
	m.Most = max(provisioned, onDemand) + m.Functions + max(m.TablesOnDemand, m.TablesProvisioned)
	return w
}

func (l Load) second(p Prices) float64 {
	if l.Architecture == "x86_64" {
		return p.usd(intelSecond)
	}
	return p.usd(armSecond)
}

// The five pollers of a mapping, each of which waits 20 s where there is nothing:
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
const (
	queueBatch = 10
	pollers    = 5
	longPoll   = 20
)

func (l Load) queue(p Prices) Queue {
	batches := l.Messages / queueBatch
	work := l.Overhead.Seconds() + queueBatch*l.PerEvent.Seconds() // of a batch
	gb := float64(l.MemoryMB) / 1024
	q := Queue{Loops: l.Loops}
	if q.Loops == 0 {
		q.Loops = max(int(math.Ceil(batches*work/l.Use)), 1)
	}
	loops := float64(q.Loops)
	request := seconds / million * p.usd(queueRequests)
	empty := (loops - batches*work) / longPoll
	q.Loop = loops*gb*seconds*l.second(p) + loops/l.LoopSeconds*seconds/million*p.usd(invocations) +
		(3*batches+max(empty, 0))*request
	q.Mapping = batches*work*gb*seconds*l.second(p) + batches*seconds/million*p.usd(invocations) +
		(3*batches+pollers/float64(longPoll))*request
	return q
}

// warn names what the numbers do not say by themselves.
func (e *Estimate) warn() {
	add := func(format string, args ...any) { e.Warnings = append(e.Warnings, fmt.Sprintf(format, args...)) }
	if e.Load.ReadModels > 5 && !e.Load.EnhancedFanOut {
		add("%d read models poll each shard, which answers 5 reads a second: some wait; enhanced fan-out (--efo) gives each its own", e.Load.ReadModels)
	}
	if e.With.Stream.ShardsBy == "reads" && e.With.Stream.Shards > 1 {
		add("the read models, not the writes, need %d shards: enhanced fan-out (--efo) needs fewer", e.With.Stream.Shards)
	}
	if e.With.Functions.Behind || e.Without.Functions.Behind {
		add("the functions fall behind with a parallelization factor of 10: make an event quicker than %v, or take more shards", e.Load.PerEvent)
	}
	if n := e.With.Functions.Most; n > 1000 {
		add("up to %d invocations at once, beyond the 1,000 of a new account: ask for more", n)
	}
	if u := e.Tables.WriteUnits; u > 40_000 {
		add("%.2g write units a second are beyond a table's default quota of 40,000: ask for more, and spread the keys (1,000 a second each)", u)
	}
	if b := e.With.Stream.InBytes; b > 200<<20 {
		add("an on-demand stream takes 200 MB/s by default, these are %.0f MB/s: ask for more", b/1e6)
	}
}
