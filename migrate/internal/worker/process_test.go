package worker

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A process of this machine is distinguished from one that has ended, from one whose id
// was given to another, and from one that cannot be observed from here.
func TestEndedOnlyWhenItCertainlyIs(t *testing.T) {
	me := ThisProcess()
	if me == "" {
		t.Skip("this system has no /proc: no process is known to have ended")
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	parts := strings.Fields(me)
	name := func(boot, space, pid, born string) string { return strings.Join([]string{boot, space, pid, born}, " ") }
	pid := child.Process.Pid
	alive := name(parts[0], parts[1], strconv.Itoa(pid), startTime(pid))
	for what, c := range map[string]struct {
		process string
		ended   bool
	}{
		"itself":                     {me, false},
		"a child that runs":          {alive, false},
		"a number used again":        {name(parts[0], parts[1], strconv.Itoa(pid), "1"), true},
		"of another boot or machine": {name("other", parts[1], strconv.Itoa(pid), "1"), false},
		"of another namespace":       {name(parts[0], "pid:[1]", strconv.Itoa(pid), "1"), false},
		"no process":                 {"", false},
		"nonsense":                   {"a b c", false},
	} {
		if HasEnded(c.process) != c.ended {
			t.Errorf("%s (%s): ended is %v", what, c.process, !c.ended)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	if !HasEnded(alive) {
		t.Error("a killed child has not ended")
	}
}
