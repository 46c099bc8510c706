package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build makes the command, since what it does is to start itself.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bench")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func command(t *testing.T, path string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), path, args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode()
}

func TestCommand(t *testing.T) {
	path := build(t)
	short := []string{"--events=2000", "--rounds=1", "--sizes=200", "--cases=aggregated-ordered"}

	t.Run("table", func(t *testing.T) {
		t.Setenv("JSON", "")
		os.Unsetenv("JSON")
		out, errs, code := command(t, path, short...)
		if code != 0 || !strings.Contains(out, "cpu_ratio_to_putrecords") || !strings.Contains(out, "pinned") && !strings.Contains(out, "core") {
			t.Errorf("%d %s\n%s", code, errs, out)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		t.Setenv("JSON", "1")
		out, errs, code := command(t, path, short...)
		if code != 0 {
			t.Fatalf("%d %s", code, errs)
		}
		found := false
		for text := range strings.Lines(out) {
			var line struct {
				Bench, Case, Metric string
				Value               float64
			}
			if err := json.Unmarshal([]byte(text), &line); err != nil || line.Bench != "publisher" {
				t.Errorf("%q: %v", text, err)
			}
			found = found || line.Case == "200B-aggregated-ordered" && line.Metric == "cpu_ratio_to_putrecords" && line.Value > 0
		}
		if !found {
			t.Errorf("the figure is missing in\n%s", out)
		}
	})
	t.Run("failure", func(t *testing.T) {
		_, errs, code := command(t, path, append(short, "--endpoint=http://127.0.0.1:1")...)
		if code != 1 || !strings.Contains(errs, "bench: ") {
			t.Errorf("%d %s", code, errs)
		}
	})
	t.Run("usage", func(t *testing.T) {
		if _, errs, code := command(t, path, "--cases=fastest"); code != 2 || !strings.Contains(errs, "fastest") {
			t.Errorf("%d %s", code, errs)
		}
		if out, _, code := command(t, path, "--help"); code != 0 || !strings.Contains(out, "--quick") {
			t.Errorf("%d %s", code, out)
		}
	})
}
