package main_test

import (
	"os"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/figures/figurestest"
)

func TestCommand(t *testing.T) {
	path := figurestest.Build(t)
	short := []string{"--events=2000", "--rounds=1", "--sizes=200", "--cases=aggregated-ordered"}

	t.Run("table", func(t *testing.T) {
		t.Setenv("JSON", "")
		os.Unsetenv("JSON")
		out, errs, code := figurestest.Run(t, "", path, short...)
		if code != 0 || !strings.Contains(out, "cpu_ratio_to_putrecords") || !strings.Contains(out, "pinned") && !strings.Contains(out, "core") {
			t.Errorf("%d %s\n%s", code, errs, out)
		}
	})
	t.Run("JSON", func(t *testing.T) {
		t.Setenv("JSON", "1")
		out, errs, code := figurestest.Run(t, "", path, short...)
		if code != 0 {
			t.Fatalf("%d %s", code, errs)
		}
		if figurestest.Figures(t, "publisher", out)["200B-aggregated-ordered cpu_ratio_to_putrecords"] <= 0 {
			t.Errorf("the figure is missing in\n%s", out)
		}
	})
	t.Run("failure", func(t *testing.T) {
		_, errs, code := figurestest.Run(t, "", path, append(short, "--endpoint=http://127.0.0.1:1")...)
		if code != 1 || !strings.Contains(errs, "bench: ") {
			t.Errorf("%d %s", code, errs)
		}
	})
	t.Run("usage", func(t *testing.T) {
		if _, errs, code := figurestest.Run(t, "", path, "--cases=fastest"); code != 2 || !strings.Contains(errs, "fastest") {
			t.Errorf("%d %s", code, errs)
		}
		if out, _, code := figurestest.Run(t, "", path, "--help"); code != 0 || !strings.Contains(out, "--quick") {
			t.Errorf("%d %s", code, out)
		}
	})
}
