package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
)

// screen is what a terminal shows of what was written to it.
func screen(t *testing.T, written string) []string {
	t.Helper()
	lines, row := []string{""}, 0
	for len(written) > 0 {
		n := 0
		switch {
		case strings.HasPrefix(written, "\x1b[J"):
			lines, written = append(lines[:row], ""), written[3:]
		case strings.HasPrefix(written, "\x1b["):
			if _, err := fmt.Sscanf(written, "\x1b[%dA", &n); err != nil {
				t.Fatalf("unknown sequence in %q", written)
			}
			row -= n
			written = written[strings.IndexByte(written, 'A')+1:]
		case written[0] == '\r':
			written = written[1:]
		case written[0] == '\n':
			row++
			lines, written = append(lines, ""), written[1:]
		default:
			end := strings.IndexAny(written, "\x1b\r\n")
			if end < 0 {
				end = len(written)
			}
			lines[row] += written[:end]
			written = written[end:]
		}
	}
	return lines
}

// terminal is an output to a terminal.
func terminal(b *strings.Builder) *output {
	o := newOutput(b, b, false)
	o.terminal, o.hooks = true, &hooks{last: map[string]string{}}
	return o
}

// TestViewOfSeveralEntities: each has a line of its own.
func TestViewOfSeveralEntities(t *testing.T) {
	var b strings.Builder
	o := terminal(&b)
	o.several = true
	o.gates["users"] = []string{"nothing was verified yet", "one more"}
	for _, name := range []string{"users", "orders", "users"} {
		o.writeProgress(migrate.Progress{Entity: name, Phase: ownership.Shadowing, Copied: control.Copied{Documents: 20, Complete: true}})
	}
	o.endLine()
	want := []string{"orders: shadowing: 20 of about 20 documents, 0 changes, lag 0s",
		"users: shadowing: 20 of about 20 documents, 0 changes, lag 0s, 2 in the way", ""}
	if got := screen(t, b.String()); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// TestViewOfAChangeOfOwner: its steps, for how long writes have been held of what they may be,
// and what would refuse it.
func TestViewOfAChangeOfOwner(t *testing.T) {
	now := time.Now()
	s := steps{what: "cut-over", entity: "users", all: []string{"announce", "hold", "fence"}, now: "fence", budget: 900 * time.Millisecond,
		heldAt: now.Add(-450 * time.Millisecond)}
	want := "cut-over of users: fence\n  steps     announce hold [fence]\n  writes    [####################....................] held for 450 of 900 ms"
	if got := s.show(nil, now); got != want {
		t.Error(cmp.Diff(want, got))
	}
	s.now, s.heldAt = "postponed", time.Time{}
	want = "cut-over of users: postponed\n  steps     announce hold fence\n  gate      nothing was verified yet"
	if got := s.show([]string{"nothing was verified yet"}, now); got != want {
		t.Error(cmp.Diff(want, got))
	}
}

// TestViewIsRedrawnInItsPlace: each progress takes the place of the one before, however many
// lines that had, and no line wraps.
func TestViewIsRedrawnInItsPlace(t *testing.T) {
	var b strings.Builder
	o := terminal(&b)
	p := migrate.Progress{At: time.Now(), Entity: "users", Phase: ownership.Copying, Copied: control.Copied{Documents: 50, Of: 200, Ranges: 8, Done: 2},
		PerSecond: 10, ETA: 15 * time.Second, Changes: control.Following{Events: 3, Lag: 40 * time.Millisecond}}
	o.gates["users"] = []string{"the phase is copying, not shadowing: " + strings.Repeat("wait ", 30), "nothing was verified yet"}
	o.writeProgress(p)
	want := []string{
		"copying: 50 of about 200 documents, 10/s, 15s left, 3 changes, lag 40ms",
		"  ranges    [##########..............................] 2 of 8",
		"  gate      the phase is copying, not shadowing:" + strings.Repeat(" wait", 6),
		"           " + strings.Repeat(" wait", 13),
		"           " + strings.Repeat(" wait", 11),
		"  gate      nothing was verified yet",
	}
	if got := screen(t, b.String()); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	o.gates["users"] = nil
	p.Phase, p.Copied.Documents, p.Copied.Complete, p.ETA = ownership.Shadowing, 200, true, 0
	p.Reverse = reverse.Health{Begun: time.Now(), Lag: time.Second, TimeLeft: 23 * time.Hour}
	o.writeProgress(p)
	o.writeWarning("a hook said something")
	o.writeProgress(p)
	o.endLine()
	two := []string{"shadowing: 200 of about 200 documents, 3 changes, lag 40ms", "  way back  lag 1s, possible for 23h0m0s more"}
	want = append(append(append([]string{}, two...), "a hook said something"), append(two, "")...)
	if got := screen(t, b.String()); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
