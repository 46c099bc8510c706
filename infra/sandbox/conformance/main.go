// Command conformance turns the output of `go test -json`, read from its
// standard input, into what a person wants to know of a suite that was run
// against one server: a line with the counts, each skipped case with its
// reason, and failures in full.
//
// It exits with 1 if a test failed, if the tests could not be built, or if
// none was run: a suite that is not there must not look like one that passes.
// A line of a peer's script that begins with SKIPPED is repeated, and nothing
// more is asked for then.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, `usage: go test -json ... | conformance "the suite's name"`)
		os.Exit(2)
	}
	r := newReport()
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: reading the tests' output:", err)
		os.Exit(1)
	}
	if !r.print(os.Stdout, os.Args[1]) {
		os.Exit(1)
	}
}

// event is what `go test -json` writes a line; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

// report is what the tests said. A test counts if it has no tests in it.
type report struct {
	peer    string   // the line with which a peer said that it cannot be had
	order   []string // of the tests, as they began
	tests   map[string]*outcome
	other   strings.Builder // what is no test's: the compiler's words, a panic
	broken  bool            // a package failed
	seconds float64
}

type outcome struct {
	action string // pass, skip or fail; "" where it did not end
	output strings.Builder
	parent bool
}

func newReport() *report { return &report{tests: map[string]*outcome{}} }

// read takes in all lines.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		if strings.HasPrefix(line, "SKIPPED ") {
			r.peer = line
			return
		}
		r.other.WriteString(line)
		return
	}
	if e.Test == "" {
		r.ofPackage(e)
		return
	}
	t := r.test(e.Test)
	switch e.Action {
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.action = e.Action
	}
}

func (r *report) ofPackage(e event) {
	switch e.Action {
	case "output", "build-output":
		r.other.WriteString(e.Output)
	case "fail", "build-fail":
		r.broken = true
	}
	r.seconds += e.Elapsed
}

// test finds or adds a test, and marks the one that it is in.
func (r *report) test(name string) *outcome {
	if t := r.tests[name]; t != nil {
		return t
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		r.test(name[:i]).parent = true
	}
	t := &outcome{}
	r.tests[name] = t
	r.order = append(r.order, name)
	return t
}

// cases are the tests of one outcome that have no tests in them. A test that
// began and did not end has failed.
func (r *report) cases(action string) (names []string) {
	for _, name := range r.order {
		t := r.tests[name]
		is := t.action
		is = cmp.Or(is, "fail")
		if is == action && (!t.parent || action == "fail" && !r.failsBelow(name)) {
			names = append(names, name)
		}
	}
	return names
}

// failsBelow says whether the failure of a test is one of a test in it.
func (r *report) failsBelow(name string) bool {
	for other, t := range r.tests {
		if t.action != "pass" && t.action != "skip" && strings.HasPrefix(other, name+"/") {
			return true
		}
	}
	return false
}

// print says it all, and whether it is good.
func (r *report) print(out io.Writer, name string) (good bool) {
	passed, skipped, failed := r.cases("pass"), r.cases("skip"), r.cases("fail")
	good = len(failed) == 0 && !r.broken
	switch {
	case good && len(passed) == 0 && r.peer != "":
		fmt.Fprint(out, r.peer)
		return true
	case good && len(passed) == 0:
		good = false
		fmt.Fprintf(out, "FAIL  %s: no test was run\n", name)
	case good:
		fmt.Fprintf(out, "ok    %-42s %4d passed %3d skipped %6.1f s\n", name, len(passed), len(skipped), r.seconds)
	default:
		fmt.Fprintf(out, "FAIL  %-42s %4d passed %3d skipped %3d failed %6.1f s\n", name, len(passed), len(skipped), len(failed), r.seconds)
	}
	for _, test := range skipped {
		fmt.Fprintf(out, "        skipped %s: %s\n", short(test), reason(r.tests[test].output.String()))
	}
	for _, test := range failed {
		fmt.Fprint(out, indent(r.tests[test].output.String()))
	}
	if !good {
		fmt.Fprint(out, indent(r.other.String()))
	}
	return good
}

// short leaves out the function that holds the suite.
func short(test string) string {
	if _, inner, ok := strings.Cut(test, "/"); ok {
		return inner
	}
	return test
}

// reason is what a test said last when it skipped itself: "file.go:12: why".
func reason(output string) string {
	last := "it does not say why"
	for line := range strings.Lines(output) {
		if _, why, ok := strings.Cut(line, ".go:"); ok {
			if _, why, ok = strings.Cut(why, ": "); ok {
				last = strings.TrimSpace(why)
			}
		}
	}
	return last
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("        " + line)
	}
	return b.String()
}
