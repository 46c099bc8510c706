package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/migrate/cutover"
)

// TestStepsAreTheCodes: the models' cut-over and rollback have the steps of the code's, in
// their order, and take them in that order.
func TestStepsAreTheCodes(t *testing.T) {
	steps, rollback := cutover.Steps(), cutover.RollbackSteps()
	var declared []string
	for _, m := range regexp.MustCompile(`mtype = \{([^}]*)\}`).FindAllStringSubmatch(readModel(t, "steps.pml"), -1) {
		for name := range strings.SplitSeq(m[1], ",") {
			declared = append(declared, strings.TrimSpace(name))
		}
	}
	if n := len(steps); len(declared) < n || !slices.Equal(declared[:n], steps) {
		t.Errorf("steps.pml has the steps\n%q, the cut-over\n%q", declared, steps)
	}
	if !slices.Equal(slices.Sorted(slices.Values(declared)), slices.Sorted(slices.Values(rollback))) {
		t.Errorf("steps.pml has the steps\n%q, the rollback\n%q", declared, rollback)
	}
	mustTake := func(model, text, step string, want []string) {
		t.Helper()
		var order []string
		for _, m := range regexp.MustCompile(step).FindAllStringSubmatch(text, -1) {
			if slices.Contains(declared, m[1]) {
				order = append(order, m[1])
			}
		}
		if !slices.Equal(order, want) {
			t.Errorf("%s takes the steps\n%q, the code\n%q", model, order, want)
		}
	}
	for _, model := range []string{"data.pml", "members.pml"} {
		mustTake(model, readModel(t, model), `\bstep = (\w+)`, steps)
	}
	_, body, _ := strings.Cut(readModel(t, "rollback.pml"), "inline advanceForth(i) {")
	there, back, _ := strings.Cut(body, "inline advanceBack(i) {")
	back, _, _ = strings.Cut(back, "inline ")
	mustTake("rollback.pml", there, `:: op\[i\]\.step == (\w+) ->`, steps)
	mustTake("rollback.pml", regexp.MustCompile(`(?s)#ifdef NO_FENCE.*?#else`).ReplaceAllString(back, ""), `:: op\[i\]\.step == (\w+) ->`, rollback)
	body = readModel(t, "operator.pml")
	for _, step := range declared {
		if !strings.Contains(body, ":: op[i].step == "+step) {
			t.Errorf("an operator of operator.pml cannot take the step %s", step)
		}
	}
}

// TestMacrosAreInTheirModels: a bound or a mutation that no model reads would change
// nothing.
func TestMacrosAreInTheirModels(t *testing.T) {
	include := regexp.MustCompile(`#include "([^"]+)"`)
	for _, r := range runs {
		text := readModel(t, r.model+".pml")
		for _, m := range include.FindAllStringSubmatch(text, -1) {
			text += readModel(t, m[1])
		}
		for _, define := range r.defines() {
			name, _, _ := strings.Cut(strings.TrimPrefix(define, "-D"), "=")
			if !regexp.MustCompile(`(?m)^#(ifn?def|if|elif).*\b` + name + `\b`).MatchString(text) {
				t.Errorf("%s: no condition of %s.pml reads %s", r.name, r.model, name)
			}
		}
	}
}

// TestReadmeNamesEveryMutation: the table in README.md is complete.
func TestReadmeNamesEveryMutation(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		if r.mutation != "" && !strings.Contains(string(readme), "`"+r.mutation+"`") {
			t.Errorf("README.md does not name %s", r.mutation)
		}
	}
}

// TestVerdicts runs the smallest model: what holds, what breaks the invariant that it
// names, and what must not count as either.
func TestVerdicts(t *testing.T) {
	for _, tool := range []string{"spin", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	for _, c := range []struct {
		run  run
		want string
		ok   bool
	}{
		{run{model: "former"}, "holds", true},
		{run{model: "former", bounds: "LATE_COMMANDS", breaks: 11}, "breaks 11, late is harmless", true},
		{run{model: "former", bounds: "LATE_COMMANDS"}, "does not hold", false},
		{run{model: "former", breaks: 11}, "does not break invariant 11", false},
		{run{model: "former", bounds: "LATE_COMMANDS", breaks: 5}, "does not break invariant 5", false},
		{run{model: "former", maxDepth: 10}, "cut short: max search depth too small", false},
		{run{model: "nonesuch"}, "spin", false},
	} {
		c.run.optimize = "-O0"
		got, ok := check(t.Context(), c.run).judge(c.run)
		if ok != c.ok || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, %v; want %q, %v", c.run, got, ok, c.want, c.ok)
		}
	}
}

// TestATrailReads: the trail of a mutation tells what happened, step by step.
func TestATrailReads(t *testing.T) {
	if _, err := exec.LookPath("spin"); err != nil {
		t.Skip("spin is not installed")
	}
	got := check(t.Context(), run{model: "former", bounds: "LATE_COMMANDS", breaks: 11, shortest: true, optimize: "-O0"})
	want := "drop(0, 0)\nrename(1, 0)\ndrop(0, 0) arrives late\nrelease\n"
	if got.err != nil || !strings.HasSuffix(got.trail, want) {
		t.Errorf("the trail is %q (%v), want it to end with %q", got.trail, got.err, want)
	}
}

func readModel(t *testing.T, name string) string {
	t.Helper()
	text, err := models.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
