package measure

import (
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
)

// Options of a measurement. Endpoint is needed; the zero value of everything
// else is a sensible default.
type Options struct {
	// Endpoint is the URL of a counting.Server with Streams(ThrottlePeriod).
	Endpoint string
	// Events of a run, the least that is measured in one piece. 0 means 200,000.
	Events int
	// Rounds is how many pairs of runs the median is of. 0 means 7.
	Rounds int
	// Sizes of the payloads in bytes. None means 200 and 1,000.
	Sizes []int
	// Keys is how many partition keys take turns. 0 means 1,000.
	Keys int
	// Cases to measure, see Cases. None means all.
	Cases []string
	// ThrottleRun is how long each run with a throttled shard takes. 0 means 1 s.
	ThrottleRun time.Duration
	// Pace is events a second of the caller who does not send as fast as he can,
	// in the case with a throttled shard. 0 means 50,000.
	Pace int
	// Profiles is a directory for a CPU profile of each way of publishing, taken
	// after what is measured. Empty means none.
	Profiles string
}

// ThrottlePeriod is how long a throttled shard of Streams refuses everything,
// before it takes everything for as long.
const ThrottlePeriod = 100 * time.Millisecond

// The streams of the counting server.
const (
	streamOne       = "one"       // shard
	streamFour      = "four"      // shards
	streamThrottled = "throttled" // four shards, the first throttled half the time
	streamChecked   = "checked"   // four shards
)

const (
	manyShards = 4
	leastKeys  = 100 // so that each shard has some
)

// Streams are what the counting server must have.
func Streams() []counting.Stream {
	return []counting.Stream{
		{Name: streamOne, Shards: 1},
		{Name: streamFour, Shards: manyShards},
		{Name: streamThrottled, Shards: manyShards, ThrottleFirst: ThrottlePeriod},
		{Name: streamChecked, Shards: manyShards, Check: true},
	}
}

// The names of the cases, behind the size of the payload.
const (
	casePutRecords = "putrecords"
	caseAggregated = "aggregated-ordered"
	casePlain      = "plain-ordered"
	caseEnvelope   = "aggregated-ordered-envelope"
	caseUnordered  = "aggregated-unordered"
	caseCBOR       = "aggregated-ordered-cbor"
	caseBoth       = "aggregated-ordered-envelope-cbor"
	caseThrottled  = "one-shard-throttled"
	casePaced      = "one-shard-throttled-paced"
)

// Cases that can be measured. What each is compared with is run beside it.
func Cases() []string {
	return []string{caseAggregated, casePlain, caseEnvelope, caseCBOR, caseBoth, caseUnordered, caseThrottled, casePaced}
}

func (o Options) withDefaults() Options {
	orDefault(&o.Events, 200_000)
	orDefault(&o.Rounds, 7)
	orDefault(&o.Keys, 1000)
	orDefault(&o.ThrottleRun, time.Second)
	orDefault(&o.Pace, 50_000)
	if len(o.Sizes) == 0 {
		o.Sizes = []int{200, 1000}
	}
	if len(o.Cases) == 0 {
		o.Cases = Cases()
	}
	return o
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate tells what is wrong with o, nil if nothing.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.Endpoint == "" {
		errs = append(errs, errors.New("no endpoint"))
	}
	if o.Events < batchRecords || o.Rounds < 1 || o.Keys < leastKeys || o.Pace < 1 {
		errs = append(errs, fmt.Errorf("events %d, rounds %d, keys %d and pace %d must be at least %d, 1, %d and 1",
			o.Events, o.Rounds, o.Keys, o.Pace, batchRecords, leastKeys))
	}
	for _, size := range o.Sizes {
		if size < leastPayload || size > mostPayload {
			errs = append(errs, fmt.Errorf("a payload of %d bytes is not between %d and %d", size, leastPayload, mostPayload))
		}
	}
	known := make(map[string]bool)
	for _, name := range Cases() {
		known[name] = true
	}
	for _, name := range o.Cases {
		if !known[name] {
			errs = append(errs, fmt.Errorf("there is no case %q, only %q", name, Cases()))
		}
	}
	return errors.Join(errs...)
}
