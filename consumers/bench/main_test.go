package main_test

import (
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/figures/figurestest"
)

// TestCommand measures everything, very little of it, with one function for one architecture.
func TestCommand(t *testing.T) {
	path := figurestest.Build(t)
	out, errs, code := figurestest.Run(t, "../..", path, "--json", "--records=100", "--rounds=1", "--events=1000", "--rate=20", "--run=1ns",
		"--functions=./consumers/social/cmd/profile", "--native")
	if code != 0 {
		t.Fatalf("%d %s", code, errs)
	}
	got := figurestest.Figures(t, "consumer", out)
	for _, want := range []string{
		"decode cpu_us_per_record", "decode cpu_ratio_to_encoding_json", "decode-runtime cpu_ratio_to_encoding_json",
		"memory-one-record peak_mib_above_start", "memory-100-records peak_ratio_to_a_tenth_of_events", "memory-100-invocations peak_mib_above_start",
		"latency events_per_second", "latency p50_ms", "latency p99_ms",
		"start-profile exec_to_first_poll_ms", "start-profile cpu_ms",
	} {
		if _, ok := got[want]; !ok {
			t.Errorf("%s is missing in\n%s", want, out)
		}
	}
	if !strings.Contains(out, `"case":"zip-profile-`) {
		t.Errorf("the size is missing in\n%s", out)
	}
	for _, wrong := range []string{"--cases=fastest", "--records=1"} {
		if _, errs, code := figurestest.Run(t, "", path, wrong); code != 2 || !strings.Contains(errs, "bench: ") {
			t.Errorf("%s: %d %s", wrong, code, errs)
		}
	}
}
