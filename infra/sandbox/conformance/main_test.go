package main

import (
	"strings"
	"testing"
)

// lines joins what `go test -json` writes.
func lines(all ...string) string {
	var b strings.Builder
	for _, l := range all {
		b.WriteString(l + "\n")
	}
	return b.String()
}

const (
	passA    = `{"Action":"pass","Package":"p","Test":"TestConforms/a"}`
	passAll  = `{"Action":"pass","Package":"p","Test":"TestConforms"}`
	ended    = `{"Action":"pass","Package":"p","Elapsed":1.25}`
	runAll   = `{"Action":"run","Package":"p","Test":"TestConforms"}`
	why      = `{"Action":"output","Package":"p","Test":"TestConforms/b","Output":"    suite.go:90: seed 1\n    suite.go:92: it has no views\n"}`
	skipB    = `{"Action":"skip","Package":"p","Test":"TestConforms/b"}`
	wrong    = `{"Action":"output","Package":"p","Test":"TestConforms/c","Output":"    c.go:1: got 1, want 2\n"}`
	failC    = `{"Action":"fail","Package":"p","Test":"TestConforms/c"}`
	failAll  = `{"Action":"fail","Package":"p","Test":"TestConforms"}`
	runC     = `{"Action":"run","Package":"p","Test":"TestConforms/c"}`
	panicked = `{"Action":"output","Package":"p","Output":"panic: oh\n"}`
	failed   = `{"Action":"fail","Package":"p","Elapsed":0.5}`
	compiler = `{"Action":"build-output","ImportPath":"p","Output":"x.go:1: undefined: y\n"}`
)

func TestReport(t *testing.T) {
	for _, c := range []struct {
		name, in string
		good     bool
		says     []string
	}{
		{"all pass", lines(runAll, passA, passAll, ended), true, []string{"ok    s", "1 passed", "0 skipped", "1.2 s"}},
		{"a skip is named", lines(runAll, passA, why, skipB, passAll, ended), true, []string{"1 skipped", "skipped b: it has no views"}},
		{"a failure in full", lines(runAll, passA, wrong, failC, failAll, failed), false, []string{"FAIL  s", "1 passed", "1 failed", "got 1, want 2"}},
		{"a test that did not end", lines(runAll, runC, panicked, failed), false, []string{"1 failed", "panic: oh"}},
		{"a function that fails beside its cases", lines(runAll, passA, failAll, failed), false, []string{"1 failed"}},
		{"a process that fails behind its tests", lines(runAll, passA, passAll, panicked, failed), false, []string{"FAIL  s", "panic: oh"}},
		{"what cannot be built", lines(compiler, failed), false, []string{"FAIL  s", "undefined: y"}},
		{"no test", lines(ended), false, []string{"FAIL  s: no test was run"}},
		{"nothing at all", "", false, []string{"FAIL  s: no test was run"}},
		{"only skipped", lines(runAll, why, skipB, passAll, ended), false, []string{"FAIL  s: no test was run"}},
		{"a peer that cannot be had", "SKIPPED peer: java is not installed\n", true, []string{"SKIPPED peer: java is not installed"}},
		{"a peer's word does not hide a failure", "SKIPPED peer: x\n" + lines(runAll, wrong, failC, failed), false, []string{"FAIL  s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, out := newReport(), &strings.Builder{}
			if err := r.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if good := r.print(out, "s"); good != c.good {
				t.Errorf("good: %v", good)
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is missing in:\n%s", want, out)
				}
			}
		})
	}
}
