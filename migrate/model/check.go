package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// timeout of one run; the longest takes half a minute on a slow core.
	timeout = 10 * time.Minute
	// maxDepth is far more than the models reach; a search that needs more is cut short.
	maxDepth = 100_000
	// maxMemory of one run, in MB.
	maxMemory = 4000
)

// result is what a search found.
type result struct {
	err      error   // it could not be run
	states   int     // stored
	depth    int     // reached
	memory   float64 // MB
	took     time.Duration
	cutShort string // why the search is not of the whole state space
	broken   int    // the invariant that does not hold, 0 for none
	trail    string // the steps that lead there, if asked for
}

// judge says how a run came out, and whether that is how it must.
func (got result) judge(r run) (string, bool) {
	switch {
	case got.err != nil:
		return got.err.Error(), false
	case got.broken == 0 && got.cutShort != "":
		return "the search was cut short: " + got.cutShort, false
	case got.broken != 0 && r.breaks == 0:
		return fmt.Sprintf("invariant %d (%s) does not hold", got.broken, invariants[got.broken]), false
	case got.broken != r.breaks && got.broken == 0:
		return fmt.Sprintf("does not break invariant %d (%s)", r.breaks, invariants[r.breaks]), false
	case got.broken != r.breaks:
		return fmt.Sprintf("breaks invariant %d (%s), not %d (%s)", got.broken, invariants[got.broken], r.breaks, invariants[r.breaks]), false
	case r.breaks != 0:
		return fmt.Sprintf("breaks %d, %s", r.breaks, invariants[r.breaks]), true
	}
	return "holds", true
}

// check has Spin write a verifier for the run, compiles it and runs it.
func check(ctx context.Context, r run) (got result) {
	began := time.Now()
	defer func() { got.took = time.Since(began) }()
	dir, err := os.MkdirTemp("", "banyan-model-")
	if err != nil {
		return result{err: err}
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, models); err != nil {
		return result{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	command := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil {
			err = fmt.Errorf("%s did not end: %w", filepath.Base(name), ctx.Err())
		}
		return string(out), err
	}
	spin := append(r.defines(), "-a", r.model+".pml")
	if out, err := command("spin", spin...); err != nil {
		return result{err: fmt.Errorf("spin %s: %w: %s", strings.Join(spin, " "), err, out)}
	}
	optimize := cmp.Or(r.optimize, "-O1")
	if r.breaks != 0 {
		optimize = "-O0" // it would take longer than most of these searches
	}
	cc := []string{optimize, "-w", "-DSAFETY", "-DNOFAIR", fmt.Sprintf("-DMEMLIM=%d", maxMemory), "-o", "pan", "pan.c"}
	if r.shortest {
		cc = append(cc, "-DBFS")
	}
	if out, err := command("gcc", cc...); err != nil {
		return result{err: fmt.Errorf("gcc: %w: %s", err, out)}
	}
	pan := []string{fmt.Sprintf("-m%d", cmp.Or(r.maxDepth, maxDepth)), "-w22"}
	if r.mayEndAnywhere() {
		pan = append(pan, "-E")
	}
	out, err := command(filepath.Join(dir, "pan"), pan...)
	if got = parse(out); err != nil {
		got.err = errors.Join(got.err, err)
	}
	trail := filepath.Join(dir, r.model+".pml.trail")
	if _, err := os.Stat(trail); r.shortest && !errors.Is(err, fs.ErrNotExist) {
		// Spin warns first of a trail that is of the same second as the model.
		later := time.Now().Add(time.Hour)
		got.err = errors.Join(got.err, os.Chtimes(trail, later, later))
		out, err := command("spin", append(r.defines(), "-t", "-T", r.model+".pml")...)
		got.err = errors.Join(got.err, err)
		got.trail, _, _ = strings.Cut(out, "spin: ")
	}
	return got
}

var (
	states   = regexp.MustCompile(`(\d+) states, stored`)
	depth    = regexp.MustCompile(`depth reached (\d+), errors: (\d+)`)
	memory   = regexp.MustCompile(`([0-9.]+)\s+total actual memory usage`)
	violated = regexp.MustCompile(`assertion violated \w+_(\d+) `)
	limits   = regexp.MustCompile(`max search depth too small|reached -DMEMLIM bound|out of memory|Bit statespace search|Hash-Compact`)
)

// parse reads what a verifier printed.
func parse(out string) (got result) {
	number := func(re *regexp.Regexp) float64 {
		m := re.FindStringSubmatch(out)
		if m == nil {
			got.err = fmt.Errorf("the verifier printed nothing for %q: %s", re, out)
			return 0
		}
		n, err := strconv.ParseFloat(m[1], 64)
		got.err = errors.Join(got.err, err)
		return n
	}
	got.states, got.depth, got.memory = int(number(states)), int(number(depth)), number(memory)
	if m := violated.FindStringSubmatch(out); m != nil {
		got.broken, _ = strconv.Atoi(m[1]) // digits, by the expression
	}
	errorsFound := depth.FindStringSubmatch(out)
	switch {
	case strings.Contains(out, "invalid end state ("):
		got.broken = 7
	case errorsFound != nil && errorsFound[2] != "0" && got.broken == 0:
		first, _, _ := strings.Cut(out, "\n")
		got.err = fmt.Errorf("the verifier found an error that is no invariant: %s", first)
	}
	if got.cutShort = limits.FindString(out); got.cutShort == "" && strings.Contains(out, "Search not completed") && got.broken == 0 {
		got.cutShort = "Search not completed"
	}
	return got
}
