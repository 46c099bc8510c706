// Command bench measures what a migration costs, beside a plain program that reads the
// collection and writes it with 16 BatchWriteItem writers and no conditions:
//
//	make bench-migrate                       a table, some minutes
//	go run ./migrate/bench --quick           the same, less precise
//	JSON=1 go run ./migrate/bench            one line a figure
//
// The servers and each program are processes of their own: the sandbox's MongoDB, and in
// turns the sandbox's DynamoDB and DynamoDB Local, which infra/sandbox/conformance sets up;
// where that cannot be had, its cases are named as SKIPPED. CPU is what the program used,
// user and system. What is compared runs in turns, and the figure is the median of the
// rounds' ratios, since a machine's speed changes while one measures. Run it from the root
// of the repository.
//
// The case switch-hold is another one: twenty instances of the users' service write through
// memberships of their own while the owner changes there and back, and its figures are those
// of how long the writes of each waited at most in each change. That takes a machine that has
// nothing else to do.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/figures"
)

type flags struct {
	Documents int           `help:"Documents of a copy." default:"20000"`
	Rounds    int           `help:"Rounds that a figure is the median of." default:"5"`
	Hot       time.Duration `help:"How long one document changes 200 times a second." default:"5s"`
	Lanes     []int         `help:"Changes that are applied at once, of many documents." default:"16,64,256"`
	Ranges    int           `help:"Ranges that are claimed, and a tenth of them." default:"10000"`
	Switches  int           `help:"Changes of the owner each way." default:"50"`
	Cases     []string      `help:"What to measure: ${cases}. All by default."`
	Servers   []string      `help:"On which DynamoDB: ${servers}." default:"${servers}"`
	Quick     bool          `help:"5,000 documents, one round, 2 s, 1,000 ranges, 5 changes of the owner each way."`
	JSON      bool          `name:"json" help:"One line of JSON a figure instead of the table." env:"JSON"`

	Serve bool   `help:"Be the sandbox's servers until the standard input ends." hidden:""`
	Task  string `help:"Be the program that is measured, as this JSON says." hidden:""`
}

// The cases.
const (
	caseCopy   = "copy"
	caseHot    = "changes-one-document"
	caseMany   = "changes-many-documents"
	caseMemory = "copy-memory"
	caseClaims = "claim-ranges"
	caseSwitch = "switch-hold"
)

func cases() []string {
	return []string{caseCopy, caseHot, caseMany, caseMemory, caseClaims, caseSwitch}
}

// The servers.
const (
	sandbox = "sandbox"
	local   = "dynamodb-local"
)

// Validate is called by kong: what is wrong is wrong usage.
func (f flags) Validate() error {
	if f.Documents < 10 || f.Rounds < 1 || f.Hot <= 0 || f.Ranges < 10 || f.Switches < 1 {
		return fmt.Errorf("documents %d, rounds %d, hot %s, ranges %d and switches %d must be at least 10, 1, 1ns, 10 and 1", f.Documents, f.Rounds, f.Hot,
			f.Ranges, f.Switches)
	}
	for _, c := range f.Cases {
		if !slices.Contains(cases(), c) {
			return fmt.Errorf("unknown case %q: must be one of %q", c, cases())
		}
	}
	for _, s := range f.Servers {
		if s != sandbox && s != local {
			return fmt.Errorf("unknown server %q: must be %s or %s", s, sandbox, local)
		}
	}
	return nil
}

func (f flags) wants(name string) bool { return len(f.Cases) == 0 || slices.Contains(f.Cases, name) }

func main() {
	var f flags
	figures.Main(&f, "Measures what a migration costs, beside a plain program with BatchWriteItem.",
		kong.Vars{"cases": fmt.Sprint(cases()), "servers": sandbox + "," + local}, func(ctx context.Context) error { return f.run(ctx) })
}

func (f flags) run(ctx context.Context) error {
	switch {
	case f.Serve:
		return serve(ctx, os.Stdin, os.Stdout)
	case f.Task != "":
		return runTask(ctx, f.Task, os.Stdout)
	}
	if f.Quick {
		f.Documents, f.Rounds, f.Hot, f.Ranges, f.Switches = 5000, 1, 2*time.Second, 1000, 5
	}
	report := figures.Report{Bench: "migrate", Out: os.Stdout, JSON: f.JSON}
	report.Head(fmt.Sprintf("%d documents a copy, median of %d rounds (least to most)", f.Documents, f.Rounds))
	for _, server := range f.Servers {
		if err := f.measureOn(ctx, server, report); err != nil {
			return fmt.Errorf("on %s: %w", server, err)
		}
	}
	report.Foot(footnote)
	return nil
}

const footnote = `
batchwrite is the plain program: it reads the collection with one cursor and writes batches of 25, 16
at once, which replace whatever stands there. The rate of a copy is that from the start of run until all is
copied, with the tables' creation in both; its CPU is that of run --until shadowing as a whole. Of the figures
those per second depend on the machine and the hour; the ratios less so. Of switch-hold, p50, p99 and max are of how
long the writes of one instance waited at most in one change of owner, and the steps what that was.`
