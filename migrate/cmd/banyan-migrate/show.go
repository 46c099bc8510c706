package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

// output writes results to stdout and progress to stderr: on a terminal as one line
// that is overwritten, elsewhere as one line every ten seconds. With --json, results
// and progress are objects on stdout.
type output struct {
	stdout, stderr io.Writer
	json, terminal bool

	mu    sync.Mutex
	dirty bool // an unfinished line stands on the terminal
	last  time.Time
	phase string
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// writeResult writes the verb's outcome.
func (o *output) writeResult(v any, text string) error {
	o.endLine()
	if !o.json {
		_, err := fmt.Fprintln(o.stdout, text)
		return err
	}
	return json.NewEncoder(o.stdout).Encode(v)
}

// writeFinding writes one of many findings.
func (o *output) writeFinding(v any, text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.json {
		_ = json.NewEncoder(o.stdout).Encode(v) // a closed pipe ends the process at the result
		return
	}
	fmt.Fprintln(o.stdout, text)
}

func (o *output) writeStep(step string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.json:
		_ = json.NewEncoder(o.stdout).Encode(map[string]any{"at": time.Now().UTC(), "step": step}) // as in line
	default:
		fmt.Fprintln(o.stderr, step)
	}
}

func (o *output) writeProgress(p migrate.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.json:
		_ = json.NewEncoder(o.stdout).Encode(p) // as in line
	case o.terminal:
		fmt.Fprintf(o.stderr, "\r\x1b[K%s", showProgress(p))
		o.dirty = true
	case time.Since(o.last) > 10*time.Second || o.phase != string(p.Phase):
		fmt.Fprintln(o.stderr, showProgress(p))
		o.last, o.phase = time.Now(), string(p.Phase)
	}
}

// endLine ends a progress line on the terminal.
func (o *output) endLine() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dirty {
		fmt.Fprintln(o.stderr)
		o.dirty = false
	}
}

func showProgress(p migrate.Progress) string {
	if p.Message != "" {
		return fmt.Sprintf("%s: %s", p.Phase, p.Message)
	}
	c := p.Copied
	s := fmt.Sprintf("%s: %d of about %d documents", p.Phase, c.Documents, max(c.Of, c.Documents))
	if !c.Complete && p.PerSecond > 0 {
		s += fmt.Sprintf(", %.0f/s", p.PerSecond)
	}
	if p.ETA > 0 {
		s += fmt.Sprintf(", %s left", p.ETA)
	}
	return s + fmt.Sprintf(", %d changes, %s", p.Changes.Events, showLag(p.Changes.Lag))
}

func showLag(lag time.Duration) string {
	if lag < 0 {
		return "lag not known yet"
	}
	return "lag " + lag.Round(10*time.Millisecond).String()
}

// showStep shows the step of a cut-over in progress, or that its process was
// interrupted.
func showStep(phase ownership.Phase, c *migrate.Switch) string {
	switch {
	case c.Held > 0:
		return fmt.Sprintf("%s; writes were held for %d ms", c.Step, c.Held)
	case phase == ownership.Shadowing && c.Step != migrate.StepUndone && c.Step != migrate.StepPreTail:
		return "was interrupted while " + c.Step + ", and undone"
	}
	return c.Step
}

func showFollowed(followed bool) string {
	if followed {
		return "followed"
	}
	return "not followed by any process"
}

func showMisfit(m migrate.Misfit) string {
	field := ""
	if m.Field != "" {
		field = fmt.Sprintf(", field %q", m.Field)
	}
	return fmt.Sprintf("does not fit: %s%s: %s; %s", m.ID, field, m.Why, m.WayOut)
}

func showMismatch(m target.Mismatch) string {
	s := fmt.Sprintf("mismatch: %s is %s", m.ID, m.Kind)
	if m.Detail != "" {
		s += " (" + m.Detail + ")"
	}
	if m.Repaired {
		s += ", repaired"
	}
	return s
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func showPreflight(p migrate.Preflight) string {
	lines := []string{
		fmt.Sprintf("%s: %s -> %s", p.Entity, p.Source, strings.Join(p.Tables, ", ")),
		fmt.Sprintf("  documents      %d (%s in MongoDB, %s in DynamoDB)", p.Documents, megabytes(p.SourceBytes), megabytes(p.TargetBytes)),
		fmt.Sprintf("  predicted      %d write units, %.2f USD, %s at the plan's write rate", p.WriteUnits, p.Cost, p.Time.Round(time.Second)),
		fmt.Sprintf("  does not fit   %d", p.Misfits),
	}
	if p.Largest > 0 {
		lines = append(lines, fmt.Sprintf("  largest item   %d bytes: %s", p.Largest, p.LargestID))
	}
	for _, w := range p.Warnings {
		lines = append(lines, "  warning        "+w)
	}
	return strings.Join(lines, "\n")
}

func showVerification(v migrate.Verification) string {
	return fmt.Sprintf("Compared %d documents with %d items (%d tombstones) and %d unique entries in %s: %d mismatches, %d repaired.",
		v.Documents, v.Items, v.Tombstones, v.Unique, v.FinishedAt.Sub(v.StartedAt).Round(time.Millisecond), v.Mismatches, v.Repaired)
}

func showSwitch(s migrate.Switch) string {
	if s.DryRun && s.Step == migrate.StepPossible {
		return fmt.Sprintf("The cut-over of %s is possible now. Nothing was touched.", s.Entity)
	}
	owner := fmt.Sprintf("%s belongs to DynamoDB since epoch %d.", s.Entity, s.Epoch+1)
	if s.Held == 0 { // finished for a process that died, and took the times with it
		return owner
	}
	return owner + fmt.Sprintf(" Writes were held for %d ms; %d documents compared before, %d while held.", s.Held, s.Compared, s.TailKeys)
}

func showStatus(s migrate.Status) string {
	lines := []string{
		fmt.Sprintf("%s: phase %s, owner %s, epoch %d", s.Entity, s.Phase, s.Owner, s.Epoch),
		fmt.Sprintf("  copied         %d of about %d documents, %d of %d ranges", s.Copied.Documents, max(s.Copied.Of, s.Copied.Documents),
			s.Copied.Done, s.Copied.Ranges),
		fmt.Sprintf("  changes        %d applied, %s, %s", s.Changes.Events, showLag(s.Changes.Lag), showFollowed(s.Changes.Followed)),
	}
	if s.Changes.Error != "" {
		lines = append(lines, "  stopped        "+s.Changes.Error)
	}
	if s.Changes.OutOfBand.Writes > 0 {
		lines = append(lines, fmt.Sprintf("  out of band    %d writes not by the service, the last to %s at %s", s.Changes.OutOfBand.Writes,
			s.Changes.OutOfBand.LastID, s.Changes.OutOfBand.LastAt.Format(time.RFC3339)))
	}
	if v := s.Verification; v != nil {
		lines = append(lines, fmt.Sprintf("  verified       %s: %d documents, %d mismatches", v.FinishedAt.Format(time.RFC3339), v.Documents, v.Mismatches))
	}
	if s.Paused || s.Throttle > 0 {
		lines = append(lines, fmt.Sprintf("  copying        paused: %t, at most %d documents a second (0: unlimited)", s.Paused, s.Throttle))
	}
	if s.WritesHeld {
		lines = append(lines, "  writes         held for the cut-over")
	}
	if c := s.Cutover; c != nil {
		lines = append(lines, "  cut-over       "+showStep(s.Phase, c))
	}
	for _, o := range s.Problems {
		lines = append(lines, "  cut-over       refused now: "+o)
	}
	for _, w := range s.Workers {
		lines = append(lines, fmt.Sprintf("  worker         %s pid %d on %s, seen %s ago", w.ID, w.PID, w.Host, s.At.Sub(w.SeenAt).Round(100*time.Millisecond)))
	}
	for _, m := range s.Members {
		lines = append(lines, fmt.Sprintf("  instance       %s (%s), acknowledged revision %d", m.ID, m.Service, m.Acked))
	}
	return strings.Join(lines, "\n")
}
