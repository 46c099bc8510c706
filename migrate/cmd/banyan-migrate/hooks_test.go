package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hookDir is a directory of hooks for all verbs of a test.
type hookDir struct {
	t   *testing.T
	dir string
}

func newHookDir(t *testing.T) hookDir {
	t.Helper()
	h := hookDir{t, t.TempDir()}
	t.Setenv("BANYAN_HOOKS", h.dir)
	return h
}

// write makes an event's hook that notes what it sees, and then goes on with a script.
func (h hookDir) write(event, script string) {
	h.t.Helper()
	text := "#!/bin/sh\nenv | sort >> '" + h.dir + "/seen'\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(h.dir, event), []byte(text), 0o700); err != nil {
		h.t.Fatal(err)
	}
}

// seen is what hooks saw since the last call.
func (h hookDir) seen() string {
	text, _ := os.ReadFile(filepath.Join(h.dir, "seen")) // none was run
	_ = os.Remove(filepath.Join(h.dir, "seen"))
	return string(text)
}

// expect runs a command line.
func expect(t *testing.T, code int, says, args string) {
	t.Helper()
	got, stdout, stderr := command(t, strings.Fields(args)...)
	if got != code || !strings.Contains(stdout+stderr, says) {
		t.Fatalf("%s: exit %d, not %d, or not %q\n%s%s", args, got, code, says, stdout, stderr)
	}
}

// TestHooksRefuseBeforeTheSwitchAndWarnAfterIt: each event's executable is run with what it
// needs and nothing secret; a failure before anything was announced refuses, one behind it
// undoes, and one behind the switch is a warning.
func TestHooksRefuseBeforeTheSwitchAndWarnAfterIt(t *testing.T) {
	s := start(t)
	s.seed(20)
	h := newHookDir(t)
	expect(t, 0, "", "init")
	h.write("before-encapsulate", "echo not today; exit 3")
	expect(t, exitRefused, "not today", "encapsulate --watch 1ms --no-members --accept-gap")
	expect(t, 0, "phase legacy", "status")
	h.seen()
	expect(t, 0, "possible", "encapsulate --watch 1ms --no-members --accept-gap --dry-run")
	if seen := h.seen(); seen != "" {
		t.Errorf("a dry run ran %s", seen)
	}
	h.write("before-encapsulate", "exec sleep 60")
	expect(t, exitRefused, "it took longer than 50ms", "encapsulate --watch 1ms --no-members --accept-gap --hook-timeout 50ms")
	h.write("before-encapsulate", "echo go ahead")
	expect(t, 0, "before-encapsulate: go ahead", "encapsulate --watch 1ms --no-members --accept-gap")

	for _, phase := range []string{"copying", "shadowing", "switched"} {
		h.write("phase-"+phase, "exit 1")
	}
	h.seen()
	expect(t, 0, "documents copied", "run --until shadowing")
	seen := h.seen()
	for _, want := range []string{"BANYAN_EVENT=phase-shadowing", "BANYAN_PHASE=shadowing", "BANYAN_VERB=run", "BANYAN_ENTITY=users", "PATH="} {
		if !strings.Contains(seen, want) {
			t.Errorf("%s is missing in\n%s", want, seen)
		}
	}
	if strings.Contains(seen, "AWS_") || strings.Contains(seen, "MONGODB_URI") {
		t.Errorf("secrets in\n%s", seen)
	}
	expect(t, 0, "", "verify")

	h.write("failed-cutover", "")
	h.write("step-announce", "exit 1")
	expect(t, exitRefused, "step-announce failed", "cutover --no-members --watch 0s")
	h.write("step-announce", "")
	expect(t, 0, "is called users__banyan_g1", "status")
	h.write("step-tail", "exit 1")
	h.seen()
	expect(t, exitUndone, "step-tail failed", "cutover --no-members --watch 0s")
	if seen := h.seen(); !strings.Contains(seen, "BANYAN_STEP=tail\n") || !strings.Contains(seen, "BANYAN_EXIT=4\n") {
		t.Error(seen)
	}
	expect(t, 0, "phase shadowing", "status")
	h.write("step-tail", "")
	h.write("step-release", "exit 1") // writes would wait for it
	h.write("after-cutover", "exit 1")
	expect(t, 0, "warning: the hook", "cutover --no-members --watch 0s")
	if seen := h.seen(); strings.Contains(seen, "release") || !strings.Contains(seen, "BANYAN_EVENT=after-cutover") {
		t.Error(seen)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "before-status"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, exitRefused, "permission denied", "status")
	t.Setenv("BANYAN_HOOKS", filepath.Join(h.dir, "nowhere"))
	expect(t, 2, "--hooks", "status")
}

// TestFlagFiles: the postpone file keeps a change of owner from beginning, and the panic file
// ends what runs, and keeps all from starting.
func TestFlagFiles(t *testing.T) {
	s := start(t)
	s.seed(20)
	expect(t, 0, "", "init")
	expect(t, 0, "", "encapsulate --watch 1ms --no-members --accept-gap")
	file := filepath.Join(t.TempDir(), "flag")
	touch := func() {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	out := &watching{text: `"phase":"shadowing"`, then: touch}
	if code := newCommand().Execute(t.Context(), []string{"run", "--json", "--verify-rate", "0", "--panic-file", file}, out, io.Discard); code != exitStopped {
		t.Errorf("exit %d\n%s", code, out)
	} else if e := lastError(t, out.String()); e.Code != "stopped" || !strings.Contains(e.Message, file) {
		t.Errorf("%+v", e)
	}
	expect(t, exitRefused, "remove it first", "status --panic-file "+file)

	// What would refuse is told before anybody waits.
	expect(t, exitRefused, "nothing was verified", "cutover --no-members --postpone-file "+file)
	expect(t, 0, "", "run --until shadowing")
	expect(t, 0, "", "verify")
	out = &watching{text: "postponed", then: func() { _ = os.Remove(file) }}
	args := []string{"cutover", "--no-members", "--watch", "0s", "--json", "--postpone-file", file}
	if code := newCommand().Execute(t.Context(), args, out, io.Discard); code != 0 || !strings.Contains(out.String(), "postponed while "+file) {
		t.Errorf("exit %d\n%s", code, out)
	}

	expect(t, 0, "phase switched", "status")
}

// TestPanicFileUndoesACutover: whatever was begun before the switch is taken back.
func TestPanicFileUndoesACutover(t *testing.T) {
	s := start(t)
	s.seed(20)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing", "verify"} {
		expect(t, 0, "", args)
	}
	h := newHookDir(t)
	file := filepath.Join(t.TempDir(), "flag")
	h.write("step-hold", "touch '"+file+"'; exec sleep 60") // until the verb is stopped
	args := "cutover --no-members --watch 0s --panic-file " + file
	if code, _, stderr := command(t, strings.Fields(args)...); code != exitUndone {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	expect(t, 0, "phase shadowing", "status")
}

// TestAMismatchIsLoud: a run verifies by itself. What it finds runs a hook, is in the status and
// its exit code, and does not end the run.
func TestAMismatchIsLoud(t *testing.T) {
	s := start(t)
	s.seed(20)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing"} {
		expect(t, 0, "", args)
	}
	s.tamper()
	h := newHookDir(t)
	file := filepath.Join(t.TempDir(), "flag")
	h.write("mismatch", "touch '"+file+"'")
	h.write("failed-run", "")
	expect(t, exitStopped, "the stores differ", "run --panic-file "+file)
	if seen := h.seen(); !strings.Contains(seen, "BANYAN_EVENT=mismatch") || !strings.Contains(seen, "BANYAN_MISMATCHES=2") {
		t.Error(seen)
	}
	expect(t, exitFound, "2 mismatches", "status")
	expect(t, 0, "0 mismatches", "repair")
	expect(t, 0, "0 mismatches", "status")
}
