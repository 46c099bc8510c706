package gate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/gate"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// Where the profiler may not be used, what runs is sampled and what ran is counted, and
// both are said, with the rights that are missing.
func TestWeakerEvidence(t *testing.T) {
	w := newWorld(t, func(command, namespace string) mongodbserver.Fault {
		if command == "update" && namespace == "legacy.users" {
			return mongodbserver.Fault{Delay: time.Second}
		}
		if command == "profile" {
			return mongodbserver.Fault{Code: 13}
		}
		return mongodbserver.Fault{}
	})
	cron, done := w.as("cron"), make(chan gate.Evidence)
	g := w.gate()
	go func() {
		e, err := g.Watch(t.Context(), 3*time.Second)
		if err != nil {
			t.Error(err)
		}
		done <- e
	}()
	var e gate.Evidence
	for over := false; !over; {
		select {
		case e = <-done:
			over = true
		default:
			w.run(cron, update(""))
		}
	}
	if c := client(t, e, "cron", "users"); c.Writes == 0 || c.Evidence != "currentOp" {
		t.Errorf("%+v", c)
	}
	s := e.Servers[0]
	if !slices.Equal(s.Evidence, []string{"top", "currentOp"}) || s.Writes == 0 ||
		!strings.Contains(fmt.Sprint(s.Missing), "find on legacy.system.profile, as dbAdmin has it") {
		t.Errorf("%+v", s)
	}
	if refusals, _ := gate.Judge(e, nil, policy); len(refusals) != 1 || !strings.Contains(refusals[0], "counted") {
		t.Errorf("%q", refusals)
	}
	e.Instances = 1 // then they may be the service's
	if refusals, _ := gate.Judge(e, nil, policy); len(refusals) != 0 {
		t.Errorf("%q", refusals)
	}
	if lines := e.Summary(); len(lines) != 1 || !strings.Contains(lines[0], "by top, currentOp; the profiler is not used") {
		t.Errorf("%q", lines)
	}
}

// Who was seen counts for as long as the plan says, and reads as the plan says.
func TestJudge(t *testing.T) {
	now := time.Now()
	reader := control.Client{Application: "report", Reads: 2, LastSeen: now.Add(-30 * time.Second)}
	writer := control.Client{Application: "cron", Writes: 2, Reads: 9, LastSeen: now, LastWrite: now.Add(-2 * time.Minute)}
	for _, c := range []struct {
		seen               []control.Client
		policy             plan.Gate
		refusals, warnings int
	}{
		{nil, policy, 0, 0},
		{[]control.Client{reader}, policy, 0, 1},
		{[]control.Client{reader}, plan.Gate{Reads: plan.RefuseReads, Window: time.Minute}, 1, 0},
		{[]control.Client{reader}, plan.Gate{Reads: plan.RefuseReads, Window: time.Second}, 0, 0},
		{[]control.Client{writer}, policy, 0, 1}, // it reads, and has not written for so long
		{[]control.Client{writer, reader}, plan.Gate{Reads: plan.WarnReads, Window: 5 * time.Minute}, 1, 1},
	} {
		refusals, warnings := gate.Judge(gate.Evidence{}, c.seen, c.policy)
		if len(refusals) != c.refusals || len(warnings) != c.warnings {
			t.Errorf("%+v %+v: %q, %q", c.seen, c.policy, refusals, warnings)
		}
	}
}
