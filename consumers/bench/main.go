// Command bench measures what it costs to consume events, and what functions take to start:
//
//	make bench-consumer                       a table, some minutes
//	go run ./consumers/bench --quick          the same, less precise
//	JSON=1 go run ./consumers/bench           one line a figure
//
// Run it from the root of the repository. The cases:
//
//	decode   a record decoded, validated and routed with its payload, beside encoding/json of
//	         the same bytes; and the same through the runtime, in batches of 100 records
//	memory   a process that handles one record of 10,000 aggregated events, and 100 records of
//	         100, beside 1,000 events; and 100 invocations of 1,000 beside 10
//	latency  from Publish until the example's profile, as deployed, is readable, in the sandbox
//	start    from exec to the first poll of each function
//	zip      the archive of each function, for each architecture
//
// CPU is user and system time. What is compared runs in turns, and the figure is the median of
// the rounds' ratios, since a machine's speed changes while one measures. Latencies and starts
// are wall-clock time and hold for a machine that has nothing else to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/figures"
)

type flags struct {
	Records   int           `help:"Records of a round of decode." default:"50000"`
	Rounds    int           `help:"Rounds that a figure is the median of." default:"7"`
	Events    int           `help:"Events of memory, and a tenth of them." default:"10000"`
	Rate      int           `help:"Events a second of latency." default:"1000"`
	Run       time.Duration `help:"How long a round of latency takes." default:"5s"`
	Functions []string      `help:"Packages of the functions of start and zip." default:"./..."`
	Native    bool          `help:"Only this machine's architecture of zip."`
	Cases     []string      `help:"What to measure: ${cases}. All by default."`
	Quick     bool          `help:"10,000 records, 3 rounds, 2 s of latency."`
	JSON      bool          `name:"json" help:"One line of JSON a figure instead of the table." env:"JSON"`

	Task string `help:"Be the process whose memory is measured, as this JSON says." hidden:""`
}

const (
	caseDecode  = "decode"
	caseMemory  = "memory"
	caseLatency = "latency"
	caseStart   = "start"
	caseZip     = "zip"
)

func cases() []string { return []string{caseDecode, caseMemory, caseLatency, caseStart, caseZip} }

// Validate is called by kong: what is wrong is wrong usage.
func (f flags) Validate() error {
	if f.Records < 100 || f.Rounds < 1 || f.Events < 1000 || f.Rate < 1 || f.Run <= 0 {
		return fmt.Errorf("records %d, rounds %d, events %d, rate %d and run %s must be at least 100, 1, 1000, 1 and 1ns", f.Records, f.Rounds, f.Events,
			f.Rate, f.Run)
	}
	for _, c := range f.Cases {
		if !slices.Contains(cases(), c) {
			return fmt.Errorf("unknown case %q: must be one of %q", c, cases())
		}
	}
	return nil
}

func (f flags) wants(name string) bool { return len(f.Cases) == 0 || slices.Contains(f.Cases, name) }

func main() {
	var f flags
	figures.Main(&f, "Measures what it costs to consume events, and what functions take to start.",
		kong.Vars{"cases": fmt.Sprint(cases())}, func(ctx context.Context) error { return f.run(ctx) })
}

func (f flags) run(ctx context.Context) (err error) {
	if f.Task != "" {
		return runTask(ctx, f.Task, os.Stdin, os.Stdout)
	}
	if f.Quick {
		f.Records, f.Rounds, f.Run = 10_000, 3, 2*time.Second
	}
	report := figures.Report{Bench: "consumer", Out: os.Stdout, JSON: f.JSON}
	report.Head(fmt.Sprintf("median of %d rounds (least to most)", f.Rounds))
	dir, err := os.MkdirTemp("", "banyan-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{flags: f, report: report, dir: dir}
	for _, c := range []struct {
		name    string
		measure func(context.Context) error
	}{{caseDecode, b.decode}, {caseMemory, b.memory}, {caseLatency, b.latency}, {caseStart, b.starts}, {caseZip, b.zips}} {
		if !f.wants(c.name) {
			continue
		}
		if err := c.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	report.Foot(footnote)
	return nil
}

type bench struct {
	flags
	report figures.Report
	dir    string // of what was built
	built  []deploy.Artifact
}

const footnote = `
encoding/json reads the envelope, and then the data by its type; it checks nothing beyond that. runtime is
HandleKinesis with a handler that only looks at the payload's type. Memory is that of the process above what it
had with the invocation's bytes. Latency holds for the sandbox, whose mappings poll every 5 ms.`
