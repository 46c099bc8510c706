package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/cutover"
)

// watching calls then as soon as text was written to it.
type watching struct {
	strings.Builder
	text string
	then func()
}

func (w *watching) Write(p []byte) (int, error) {
	n, err := w.Builder.Write(p)
	if strings.Contains(w.String(), w.text) {
		w.then()
	}
	return n, err
}

// lastError is the error object that stands last in the output of a verb with --json.
func lastError(t *testing.T, stdout string) (e failure) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	var object map[string]failure
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &object); err != nil || object["error"].Message == "" {
		t.Errorf("no error object: %v\n%s", err, stdout)
	}
	return object["error"]
}

// TestExitCodesTellApart: a script knows from the exit code what happened, and from the last
// object of --json the same with the reason.
func TestExitCodesTellApart(t *testing.T) {
	s := start(t)
	s.seed(20)
	expect := func(code int, name string, args ...string) {
		t.Helper()
		got, stdout, stderr := command(t, append([]string{"--json"}, args...)...)
		if got != code {
			t.Fatalf("%v: exit %d, not %d\n%s%s", args, got, code, stdout, stderr)
		}
		if name == "" {
			return
		}
		if e := lastError(t, stdout); e.Code != name || e.Exit != code || !strings.Contains(stderr, e.Message) {
			t.Errorf("%v: %+v\n%s", args, e, stderr)
		}
	}
	expect(3, "refused", "status")
	expect(0, "", "init")
	expect(3, "refused", "run")
	expect(3, "refused", "encapsulate", "--watch", "1ms")
	expect(2, "usage", "pause", "--plan", "nowhere.yaml")
	expect(0, "", "encapsulate", "--watch", "1ms", "--no-members", "--accept-gap")
	expect(3, "refused", "verify")
	expect(0, "", "run", "--until", "shadowing")
	expect(0, "", "verify")

	// Interrupted while writes are held, it is undone.
	held, interrupt := context.WithCancel(t.Context())
	out := &watching{text: `"step":"hold"`, then: interrupt}
	code := newCommand().Execute(held, []string{"cutover", "--no-members", "--watch", "0s", "--json"}, out, io.Discard)
	if e := lastError(t, out.String()); code != exitUndone || e.Code != "undone" {
		t.Errorf("exit %d, %+v", code, e)
	}
	expect(0, "", "status")

	if _, err := s.users.Database().Collection("users__banyan_g1").InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.NewObjectID()},
		{Key: "email", Value: strings.Repeat("x", 3000)}, {Key: "version", Value: int64(1)}}); err != nil {
		t.Fatal(err)
	}
	expect(5, "", "plan")
}

// TestInterruptedRunSaysSo: a supervisor tells a run that was stopped from one that failed.
func TestInterruptedRunSaysSo(t *testing.T) {
	s := start(t)
	s.seed(20)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing"} {
		if code, stdout, stderr := command(t, strings.Fields(args)...); code != 0 {
			t.Fatalf("%s: exit %d\n%s%s", args, code, stdout, stderr)
		}
	}
	stopped, interrupt := context.WithCancel(t.Context())
	out, errs := &watching{text: `"phase":"shadowing"`, then: interrupt}, &strings.Builder{}
	if code := newCommand().Execute(stopped, []string{"run", "--json"}, out, errs); code != exitStopped {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	} else if e := lastError(t, out.String()); e.Code != "stopped" || e.Message != errInterrupted.Error() {
		t.Errorf("%+v", e)
	}
}

// TestWhatIsStuckIsNeitherRefusedNorStopped: writes may wait, whatever the reason was.
func TestWhatIsStuckIsNeitherRefusedNorStopped(t *testing.T) {
	for reason, code := range map[error]int{binding.ErrDiffers: exitRefused, errPanicFile: exitStopped, cutover.ErrUndone: exitUndone} {
		if got := exitCode(t.Context(), fmt.Errorf("at step confirm: %w", reason)); got != code {
			t.Errorf("%v: %d", reason, got)
		}
		if got := exitCode(t.Context(), fmt.Errorf("the cut-over failed (%w) and %w", reason, cutover.ErrStuck)); got != 1 {
			t.Errorf("%v, stuck: %d", reason, got)
		}
	}
}

// TestALostOplogHasAnExitCodeOfItsOwn: a supervisor must not start a run again that cannot go on.
func TestALostOplogHasAnExitCodeOfItsOwn(t *testing.T) {
	s := start(t, func(c *mongodbserver.Config) { c.OplogEntries = 300 })
	s.seed(20)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing"} {
		expect(t, 0, "", args)
	}
	users := s.users.Database().Collection("users__banyan_g1")
	for range 20 { // nobody follows
		if _, err := users.UpdateMany(t.Context(), bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, exitEnded, "run --from-start", "run")
	expect(t, exitEnded, "run --from-start", "verify")
	expect(t, exitFound, "oplog", "status")
	expect(t, 0, "documents copied", "run --from-start --until shadowing")
	expect(t, 0, " 0 mismatches", "status")
}
