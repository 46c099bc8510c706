package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStepsAreDrawnOnATerminal: of every verb that holds writes, also where it is refused.
func TestStepsAreDrawnOnATerminal(t *testing.T) {
	s := start(t)
	s.seed(20)
	expect(t, 0, "", "init")
	drawn := func(code int, args string, want ...string) {
		t.Helper()
		slave, text := openTerminal(t)
		if got := newCommand().Execute(t.Context(), strings.Fields(args), io.Discard, slave); got != code {
			t.Errorf("%s: exit %d", args, got)
		}
		_ = slave.Close()
		all := <-text
		for _, w := range want {
			if !strings.Contains(all, w) {
				t.Errorf("%s: %q is missing in\n%q", args, w, all)
			}
		}
	}
	encapsulate := "encapsulate --watch 1ms --no-members"
	drawn(exitRefused, encapsulate, "encapsulation of users: looking for what would refuse it", "--accept-gap")
	drawn(0, encapsulate+" --accept-gap", "was watched for", "encapsulation of users: fence", "announce hold [fence]", "held for ")
	expect(t, 0, "", "run --until shadowing")
	drawn(exitRefused, "cutover --no-members", "cut-over of users: looking", "refused: nothing was verified yet")
	expect(t, 0, "", "verify")
	drawn(0, "cutover --no-members --watch 0s", "cut-over of users: pretail", "[tail]", "cut-over of users: release")
	expect(t, 0, "", "verify")
	drawn(0, "rollback --no-members --watch 0s", "rollback of users: position", "tail confirm [position] switch release")
}

// openTerminal opens a pseudo terminal, and sends what was written to it once it is closed.
func openTerminal(t *testing.T) (*os.File, <-chan string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	text := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(master) // it fails when the terminal is closed
		_ = master.Close()
		text <- string(all)
	}()
	return slave, text
}
