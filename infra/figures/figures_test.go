package figures_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/figures"
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		f    figures.Figure
		met  bool
		text string
	}{
		{figures.Figure{Value: 0.4}.Within(figures.AtMost, 0.5), true, "at most 0.5: met"},
		{figures.Figure{Value: 0.6}.Within(figures.AtMost, 0.5), false, "at most 0.5: MISSED"},
		{figures.Figure{Value: 0.6}.Within(figures.AtLeast, 0.9), false, "at least 0.9: MISSED"},
		{figures.Figure{Value: 0.95}.Within(figures.AtLeast, 0.9), true, "at least 0.9: met"},
		{figures.Figure{Value: 0.1}.Within(figures.AtMost, 0), false, "at most 0: MISSED"},
		{figures.Figure{Value: 7}, true, ""},
	} {
		if c.f.Met() != c.met || c.f.Verdict() != c.text {
			t.Errorf("%+v: met %v, %q", c.f, c.f.Met(), c.f.Verdict())
		}
	}
}

func TestReport(t *testing.T) {
	f := figures.Median("copy", "rate_ratio", []float64{3, 1, 2, 10}).Within(figures.AtLeast, 2)
	if f.Value != 2.5 || f.Least != 1 || f.Most != 10 {
		t.Errorf("median: %+v", f)
	}
	var table, lines bytes.Buffer
	for _, r := range []figures.Report{{Bench: "b", Out: &table}, {Bench: "b", Out: &lines, JSON: true}} {
		r.Head("three rounds")
		r.Write(f)
		r.Foot("so it is")
	}
	for _, want := range []string{"three rounds\n", "rate_ratio ", "2.500", "1.000 to 10.000", "at least 2: met", "so it is\n"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	if got := lines.String(); got != `{"bench":"b","case":"copy","metric":"rate_ratio","value":2.5}`+"\n" {
		t.Errorf("lines: %s", got)
	}
	if !json.Valid(lines.Bytes()) {
		t.Error("no JSON")
	}
}

func TestUsage(t *testing.T) {
	before := figures.Now()
	var kept [][]byte
	for range 1000 {
		kept = append(kept, make([]byte, 100))
	}
	used := figures.Since(before)
	if used.Mallocs < 1000 || used.Wall <= 0 || used.CPU < 0 || len(kept) != 1000 {
		t.Errorf("%+v", used)
	}
	ratio := figures.Usage{CPU: 4, Wall: 3, Mallocs: 2}.Over(figures.Usage{CPU: 2, Wall: 2, Mallocs: 2})
	if ratio != (figures.Usage{CPU: 2, Wall: 1.5, Mallocs: 1}) {
		t.Errorf("over: %+v", ratio)
	}
}
