// Command bench measures what the publisher costs, beside plain PutRecords of
// the SDK, against a Kinesis that only counts.
//
//	go run ./publishers/kinesis/bench            a table, some minutes
//	go run ./publishers/kinesis/bench --quick    the same, less precise
//	JSON=1 go run ./publishers/kinesis/bench     one line a figure
//
// It starts itself twice more, with one core each where there are two: the
// counting server, and the process that publishes and is measured. On other
// systems than Linux, or with one core, nothing is pinned, which it says.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/measure"
)

type flags struct {
	Events      int           `help:"Events of a run." default:"200000"`
	Rounds      int           `help:"Pairs of runs that a figure is the median of." default:"7"`
	Sizes       []int         `help:"Payloads in bytes." default:"200,1000"`
	Keys        int           `help:"Partition keys that take turns." default:"1000"`
	Cases       []string      `help:"What to measure: ${cases}. All by default."`
	ThrottleRun time.Duration `help:"How long a run with a throttled shard takes." default:"1s"`
	Pace        int           `help:"Events a second of the paced case." default:"50000"`
	Quick       bool          `help:"Under half a minute: 20,000 events, 3 rounds, 0.5 s of throttling."`
	JSON        bool          `name:"json" help:"One line of JSON a figure instead of the table." env:"JSON"`

	Endpoint string `help:"Measure in this process, against a counting server that runs already." hidden:""`
	Count    bool   `help:"Be the counting server until the standard input ends." hidden:""`
	Pinning  string `help:"What the table says about the cores." hidden:"" default:"nothing is pinned"`
}

func (f flags) options() measure.Options {
	o := measure.Options{
		Endpoint: f.Endpoint, Events: f.Events, Rounds: f.Rounds, Sizes: f.Sizes, Keys: f.Keys, Cases: f.Cases,
		ThrottleRun: f.ThrottleRun, Pace: f.Pace,
	}
	if f.Quick {
		o.Events, o.Rounds, o.ThrottleRun = 20_000, 3, 500*time.Millisecond
	}
	return o
}

// Validate is called by kong: what is wrong is wrong usage.
func (f flags) Validate() error {
	o := f.options()
	o.Endpoint = "http://to-come"
	return o.Validate()
}

func main() {
	var f flags
	figures.Main(&f, "Measures what publishing an event costs, beside plain PutRecords of the SDK.",
		kong.Vars{"cases": fmt.Sprint(measure.Cases())}, func(ctx context.Context) error { return f.run(ctx) })
}

func (f flags) run(ctx context.Context) error {
	switch {
	case f.Count:
		return count(ctx, os.Stdin, os.Stdout)
	case f.Endpoint != "":
		return f.measure(ctx, os.Stdout)
	}
	return coordinate(ctx, os.Args[1:])
}
