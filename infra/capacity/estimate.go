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
	// StreamMode and TablesMode say which mode is cheaper.
	StreamMode Mode `json:"streamMode"`
	TablesMode Mode `json:"tablesMode"`
}

// Mode compares the two modes of a stream or of tables.
type Mode struct {
	// OnDemand says that it is the cheaper one at this rate all month.
	OnDemand bool `json:"onDemand"`
	// Below is the part of the rate, from 0 to 1, below which on demand is the
	// cheaper one: the month's average, where what is provisioned for the whole
	// rate stays so. It is an estimate: fewer events make smaller aggregates.
	Below float64 `json:"onDemandBelow"`
}

// bill is what a month costs with nothing to do, and what the load adds.
type bill struct{ idle, load float64 }

func (b bill) sum() float64 { return b.idle + b.load }

func choose(provisioned, onDemand bill) Mode {
	m := Mode{OnDemand: onDemand.sum() < provisioned.sum()}
	saved, dearer := provisioned.idle-onDemand.idle, onDemand.load-provisioned.load
	switch {
	case saved <= 0:
		m.Below = 0
	case dearer <= saved:
		m.Below = 1
	default:
		m.Below = saved / dearer
	}
	return m
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
	provisioned := bill{float64(s.Shards) * hours * p.usd(shardHour), s.PutUnits * seconds / million * p.usd(putUnits)}
	onDemand := bill{hours * p.usd(streamHour), s.InBytes * seconds / gib * p.usd(streamIn)}
	var fanOut bill
	if l.EnhancedFanOut {
		fanOut = bill{float64(s.Shards*l.ReadModels) * hours * p.usd(fanoutHour), out * p.usd(fanoutOut)}
		m.FanOutProvisioned, m.FanOutOnDemand = fanOut.sum(), out*p.usd(fanoutOnDemand)
	} else {
		onDemand.load += out * p.usd(streamOut)
	}
	m.StreamProvisioned, m.StreamOnDemand = provisioned.sum(), onDemand.sum()
	w.StreamMode = choose(bill{provisioned.idle + fanOut.idle, provisioned.load + fanOut.load}, bill{onDemand.idle, onDemand.load + m.FanOutOnDemand})
	m.Functions = f.Invocations*seconds/million*p.usd(invocations) + f.GBSeconds*seconds*l.second(p)
	m.TablesOnDemand = t.WriteUnits * seconds / million * p.usd(writeRequest)
	m.TablesProvisioned = math.Ceil(t.WriteUnits/l.Use) * hours * p.usd(writeHour)
	w.TablesMode = choose(bill{idle: m.TablesProvisioned}, bill{load: m.TablesOnDemand})
	held, asked := m.StreamProvisioned+m.FanOutProvisioned, m.StreamOnDemand+m.FanOutOnDemand
	m.Least = min(held, asked) + m.Functions + min(m.TablesOnDemand, m.TablesProvisioned)
	m.Most = max(held, asked) + m.Functions + max(m.TablesOnDemand, m.TablesProvisioned)
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
	quota, own := quotas(e.Prices.Region)
	if n := e.With.Stream.Shards; n > quota {
		add("%d shards are beyond the %d that an account in %s has at least by default: ask for more", n, quota, e.Prices.Region)
	}
	if b := e.With.Stream.Bytes; b > own {
		add("an on-demand stream grows to %.0f MB/s by itself in %s, these are %.0f MB/s: ask for more", own/1e6, e.Prices.Region, b/1e6)
	}
}

// quotas are the shards of an account, and the bytes a second up to which a stream
// on demand grows by itself, in a region:
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
func quotas(region string) (shards int, bytes float64) {
	switch region {
	case "us-east-1", "us-west-2", "eu-west-1":
		return 20_000, 10e9
	}
	return 1000, 200e6
}
