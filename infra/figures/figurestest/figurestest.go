// Package figurestest runs the benchmarks of this repository in their tests.
package figurestest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Build makes the command in the test's folder, since what it does is to start itself, and
// returns its path.
func Build(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// Run runs a command in a folder, "" for the test's, until it ends.
func Run(t testing.TB, dir, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), path, args...)
	c.Dir = dir
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

// Figures reads the lines of JSON of a benchmark of that name, by case and metric with a
// blank between.
func Figures(t testing.TB, bench, lines string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for text := range strings.Lines(lines) {
		var line struct {
			Bench, Case, Metric string
			Value               float64
		}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Bench != bench {
			t.Errorf("%q is no figure of %s: %v", text, bench, err)
		}
		all[line.Case+" "+line.Metric] = line.Value
	}
	return all
}
