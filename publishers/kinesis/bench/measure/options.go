package measure

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
)

// Options of a measurement.
type Options struct {
	Endpoint    string        // the URL of a counting.Server with Streams
	Events      int           // of a run, the least that is measured in one piece
	Rounds      int           // pairs of runs that a figure is the median of
	Sizes       []int         // of the payloads in bytes
	Keys        int           // partition keys that take turns
	Cases       []string      // see Cases; none means all
	ThrottleRun time.Duration // how long each run with a throttled shard takes
	Pace        int           // events a second of the caller in the paced case
}

// throttlePeriod is how long a throttled shard of Streams refuses everything,
// before it takes everything for as long.
const throttlePeriod = 100 * time.Millisecond

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
		{Name: streamThrottled, Shards: manyShards, ThrottleFirst: throttlePeriod},
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

// Validate returns an error that says what is wrong with o, nil if nothing.
func (o Options) Validate() error {
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
			errs = append(errs, fmt.Errorf("size %d: a payload must have between %d and %d bytes", size, leastPayload, mostPayload))
		}
	}
	for _, name := range o.Cases {
		if !slices.Contains(Cases(), name) {
			errs = append(errs, fmt.Errorf("unknown case %q: must be one of %q", name, Cases()))
		}
	}
	return errors.Join(errs...)
}
