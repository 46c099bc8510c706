package demo

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Seeds are ranges of seeds, as "1-100" or "3,7,20-29".
type Seeds []uint64

// seedTimeout bounds the run of one seed, which takes some minutes: what goes on for ever fails.
const seedTimeout = 20 * time.Minute

// mostSeeds is the most that one call may name.
const mostSeeds = 10_000

// ParseSeeds reads seeds in the order in which they are written.
func ParseSeeds(text string) (all Seeds, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.ParseUint(first, 10, 64)
		to := from
		if err == nil && isRange {
			to, err = strconv.ParseUint(last, 10, 64)
		}
		if err != nil || to < from || to-from >= mostSeeds {
			return nil, fmt.Errorf("invalid seeds %q: must be numbers and ranges of up to %d, such as 1-100 or 3,7,20-29", part, mostSeeds)
		}
		for seed := from; ; seed++ {
			if all = append(all, seed); seed == to {
				break
			}
		}
	}
	return all, nil
}

// RunSeeds runs the demo under chaos with each seed, one after the other, and prints a
// line of each, and a summary. What a run prints is shown only if it fails. The error
// says how many failed, and names the first.
func RunSeeds(ctx context.Context, cfg Config, seeds Seeds) error {
	if err := cfg.applyDefaults(); err != nil {
		return err
	}
	out := cfg.Out
	var failed []uint64
	var worst Report
	var kills int
	var late int64
	fmt.Fprintf(out, "%8s  %-6s  %5s  %8s  %4s  %4s  %8s  %9s  %8s\n", "seed", "result", "kills", "services", "lost", "late", "repeated", "held", "duration")
	for _, seed := range seeds {
		var screen bytes.Buffer
		one := cfg
		one.Seed, one.Chaos, one.Out, one.Report = seed, true, &screen, ""
		began := time.Now()
		r, err := runWithin(ctx, seedTimeout, one)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r = cmp.Or(r, &Report{})
		writeSeed(out, seed, r, err, time.Since(began))
		kills, late = kills+r.MigrateKills+r.ServiceKills, late+r.CommandsLate
		worst.WriteHoldMS = max(worst.WriteHoldMS, r.WriteHoldMS)
		if err != nil {
			failed = append(failed, seed)
			fmt.Fprintf(out, "\n%s\n%v\n\n", screen.String(), err)
		}
	}
	fmt.Fprintf(out, "%d of %d seeds passed; %d SIGKILLs, %d late commands, longest hold %.0f ms\n", len(seeds)-len(failed), len(seeds),
		kills, late, worst.WriteHoldMS)
	if len(failed) > 0 {
		cfg.Seed, cfg.Chaos = failed[0], true
		return fmt.Errorf("seeds %v failed; run the first again with: %s", failed, cfg.reproduceCommand())
	}
	return nil
}

func runWithin(ctx context.Context, timeout time.Duration, cfg Config) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := run(ctx, cfg)
	if ctx.Err() != nil {
		err = fmt.Errorf("not done within %s: %w", timeout, cmp.Or(err, ctx.Err()))
	}
	return r, err
}

func writeSeed(out io.Writer, seed uint64, r *Report, err error, took time.Duration) {
	result := "ok"
	if err != nil {
		result = "FAILED"
	}
	fmt.Fprintf(out, "%8d  %-6s  %5d  %8d  %4d  %4d  %8d  %6.0f ms  %6.0f s\n", seed, result, r.MigrateKills, r.ServiceKills, r.CommandsLost, r.CommandsLate,
		r.CommandsRepeated, r.WriteHoldMS, took.Seconds())
}
