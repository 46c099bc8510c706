package diff_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/proxy/diff"
)

var start = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func comparison(status int, version string, paths ...string) diff.Comparison {
	c := diff.Comparison{At: start, Status: status, Version: version}
	for _, p := range paths {
		c.Differences = append(c.Differences, diff.Difference{Path: p, Kind: diff.Value, A: "1", B: "2"})
	}
	return c
}

func TestGate(t *testing.T) {
	var l diff.Ledger
	gate := diff.Gate{Comparisons: map[string]int64{"2xx": 3, "4xx": 1}, Versions: []string{"5.2", "5.3"}, Over: time.Hour}
	for range 3 {
		l.Add(comparison(200, "5.2"))
		l.Add(comparison(201, "5.3"))
	}
	l.Add(comparison(404, "5.2"))
	partial := comparison(404, "5.3")
	partial.Partial = true
	l.Add(partial)
	v := l.Verdict(gate)
	if want := "0 of 1 comparisons with status 4xx of version 5.3|the comparisons span 0s of 1h0m0s"; v.Open || strings.Join(v.Missing, "|") != want {
		t.Errorf("got %+v, want closed for %s", v, want)
	}
	late := comparison(404, "5.3")
	late.At = start.Add(time.Hour)
	l.Add(late)
	if v := l.Verdict(gate); !v.Open {
		t.Errorf("all that was asked for was seen, and the gate is closed: %v", v.Missing)
	}
	l.Add(comparison(200, "6.0", "$.price", "$.price"))
	v = l.Verdict(gate)
	if v.Open || len(v.Unexplained) != 1 || v.Unexplained[0].Path != "$.price" || v.Unexplained[0].Count != 1 {
		t.Errorf("one comparison with an unexplained field must close the gate, got %+v", v)
	}
	l.Use("other rules")
	l.Add(comparison(200, "6.0", "$.price")) // of the old rules, under way while they changed
	l.Learn(comparison(200, "6.0", "$.price"))
	if v := l.Verdict(diff.Gate{}); v.Open || len(v.Unexplained) > 0 || l.Report().NoiseCalls > 0 || v.Missing[0] != "0 of 1000 comparisons with status 2xx" {
		t.Errorf("new rules begin anew; got %+v", v)
	}
}

// TestNoiseExplainsNoMoreThanItself: a field that changes from call to call is
// explained; one that changes now and then and is always wrong is not.
func TestNoiseExplainsNoMoreThanItself(t *testing.T) {
	var l diff.Ledger
	explained := func(path string) bool {
		for _, f := range l.Report().Fields {
			if f.Path == path {
				return f.Explained
			}
		}
		t.Fatalf("%s is not in the report", path)
		return false
	}
	for i := range 200 {
		paths := []string{"$.at", "$.rarely"}
		if i%10 == 0 {
			paths = append(paths, "$.sometimes")
		}
		l.Add(comparison(200, "", paths...))
	}
	for range 19 {
		l.Learn(comparison(200, "", "$.at"))
	}
	if explained("$.at") {
		t.Error("19 noise calls explain nothing yet")
	}
	for i := range 81 {
		paths := []string{"$.at"}
		if i%10 == 0 {
			paths = append(paths, "$.sometimes", "$.rarely")
		}
		l.Learn(comparison(200, "", paths...))
	}
	for path, want := range map[string]bool{"$.at": true, "$.sometimes": true, "$.rarely": false} {
		if explained(path) != want {
			t.Errorf("%s: explained %v, want %v: %+v", path, !want, want, l.Report().Fields)
		}
	}
	// What one call lacks the other may lack the next time; a wrong value is another matter.
	var kinds diff.Ledger
	for range 100 {
		kinds.Add(diff.Comparison{At: start, Status: 200, Differences: []diff.Difference{
			{Path: "$.a", Kind: diff.Extra}, {Path: "$.a", Kind: diff.Value}, {Path: "$", Kind: diff.More}}})
		kinds.Learn(diff.Comparison{At: start, Differences: []diff.Difference{{Path: "$.a", Kind: diff.Missing}, {Path: "$", Kind: diff.More}}})
	}
	for _, f := range kinds.Report().Fields {
		if want := f.Kind == diff.Extra; f.Explained != want {
			t.Errorf("%s %s: explained %v, want %v", f.Path, f.Kind, f.Explained, want)
		}
	}
}

func TestLedgerIsBounded(t *testing.T) {
	var l diff.Ledger
	samples := 0
	for i := range 5000 {
		if l.Add(comparison(100+i%700, fmt.Sprintf("v%d", i), fmt.Sprintf("$.p%d", i))) {
			samples++
		}
	}
	r := l.Report()
	total := int64(0)
	for _, c := range r.Counts {
		total += c.Compared
	}
	if len(r.Fields) > 257 || len(r.Counts) > 400 || total != 5000 {
		t.Errorf("%d fields, %d counts, %d comparisons of 5000", len(r.Fields), len(r.Counts), total)
	}
	if f := r.Fields[0]; f.Path != "(others)" || f.Explained || f.Count != 5000-256 {
		t.Errorf("what did not fit must be counted, unexplained: %+v", f)
	}
	if samples > 256+20 {
		t.Errorf("%d samples of 5000", samples)
	}
	var b diff.Book
	b.Of("b").Add(comparison(200, ""))
	if b.Of("a"); b.Of("b").Report().Counts[0].Compared != 1 || strings.Join(b.Routes(), " ") != "a b" {
		t.Errorf("a book keeps its ledgers, got %v", b.Routes())
	}
}

// TestReportsAreMerged: what a process left, and what the others of a fleet have seen.
func TestReportsAreMerged(t *testing.T) {
	all, halves := &diff.Ledger{}, [2]diff.Ledger{}
	for i := range 300 {
		c := comparison(200+i%3*100, fmt.Sprint(i%5), fmt.Sprintf("$.p%d", i%7))
		c.At, c.Partial, c.Fingerprint = start.Add(time.Duration(i)*time.Minute), i%4 == 0, "rules 1"
		noise := comparison(200, "", "$.p1", fmt.Sprintf("$.q%d", i%2))
		noise.At, noise.Fingerprint = c.At, "rules 1"
		for _, l := range []*diff.Ledger{all, &halves[i%2]} {
			l.Use("rules 1")
			l.Add(c)
			l.Learn(noise)
		}
	}
	var merged diff.Ledger
	for i := range halves {
		text, err := json.Marshal(halves[i].Report())
		if err != nil {
			t.Fatal(err)
		}
		var r diff.Report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if err := merged.Merge(r); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(all.Report(), merged.Report()); d != "" {
		t.Errorf("two halves are not the whole (-want +got):\n%s", d)
	}
	if err := merged.Merge(diff.Report{Fingerprint: "rules 2"}); err == nil || !strings.Contains(err.Error(), `"rules 2"`) {
		t.Errorf("a report of other rules was merged: %v", err)
	}
}

func TestFileIsBoundedAndWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	if err := os.WriteFile(path, []byte(`{"cut by a cra`), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := diff.OpenFile(path, 4000)
	if err != nil {
		t.Fatal(err)
	}
	var r *diff.Rules
	s := diff.Sample{At: start, Route: "orders", Method: "GET", Target: "/o/1",
		Primary: r.Side("legacy", answer(`{"a":1}`)), Shadow: r.Side("orders", answer(`{`))}
	for i := range 100 {
		if err := diff.WriteSample(f, s); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); i == 0 && !bytes.HasPrefix(b, []byte("{\"cut by a cra\n{\"at\":")) {
			t.Errorf("a line that a crash had cut spoils the next one: %s", b)
		}
	}
	var all []byte
	for _, name := range []string{path + ".1", path} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	lines := bytes.Split(bytes.TrimSuffix(all, []byte("\n")), []byte("\n"))
	for _, line := range lines {
		var got diff.Sample
		if err := json.Unmarshal(line, &got); err != nil && !bytes.HasPrefix(line, []byte(`{"cut`)) {
			t.Errorf("%s: %v", line, err)
		} else if err == nil && (got.Route != "orders" || got.Shadow.Body != "{") {
			t.Errorf("got %s", line)
		}
	}
	if len(all) > 4000 || len(lines) < 5 {
		t.Errorf("%d bytes of 4000, %d lines", len(all), len(lines))
	}
	if _, err := f.Write(make([]byte, 2001)); err == nil {
		t.Error("a line that can never fit was taken")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if diff.WriteSample(f, s) == nil || f.Close() != nil {
		t.Error("a closed file takes no sample, and can be closed again")
	}
}
