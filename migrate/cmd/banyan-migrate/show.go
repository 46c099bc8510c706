package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/reverse"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// output writes results to stdout and progress to stderr: on a terminal as a few lines
// that are overwritten, elsewhere as one line every ten seconds. With --json, results
// and progress are objects on stdout.
type output struct {
	stdout, stderr io.Writer
	json, terminal bool
	several        bool // entities
	hooks          *hooks
	metrics        metrics

	mu    sync.Mutex
	dirty bool                // an unfinished line stands on the terminal
	drawn int                 // lines above it that belong to it
	gates map[string][]string // of each entity
	views map[string]string   // of each, where there are several
	steps *steps              // of a verb that has some, on a terminal
	last  map[string]written  // of each
}

// written is when a line was written, and in which phase.
type written struct {
	at    time.Time
	phase string
}

func newOutput(stdout, stderr io.Writer, json bool) *output {
	return &output{stdout: stdout, stderr: stderr, json: json, terminal: isTerminal(stderr),
		gates: map[string][]string{}, views: map[string]string{}, last: map[string]written{}}
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
	return o.write(v, text)
}

// writeFinding writes one of many findings.
func (o *output) writeFinding(v any, text string) {
	_ = o.write(v, text) // a closed pipe ends the process at the result
}

// write writes one line to stdout; several entities do at once.
func (o *output) write(v any, text string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.json {
		return json.NewEncoder(o.stdout).Encode(v)
	}
	_, err := fmt.Fprintln(o.stdout, text)
	return err
}

func (o *output) writeProgress(p migrate.Progress) {
	text := showProgress(p)
	switch {
	case o.terminal && o.steps != nil: // what is seen before the first step stays
		o.writeWarning(text)
		return
	case o.terminal:
		text = o.view(p)
	case p.Message == "" && !p.Reverse.Begun.IsZero():
		text += ", way back " + showLag(p.Reverse.Lag)
	}
	if o.several && !o.terminal {
		text = p.Entity + ": " + text
	}
	o.writeLine(p, text, p.Entity, string(p.Phase))
	o.metrics.observe(p)
	if p.Message == "" {
		o.hooks.observe(p.Entity, p.Phase, p.Verification)
	}
}

// writeWarning writes a line about what goes on besides the verb.
func (o *output) writeWarning(text string) {
	o.endLine()
	o.mu.Lock()
	defer o.mu.Unlock()
	fmt.Fprintln(o.stderr, text)
}

// warnings is where a log goes: a line each, between the others.
type warnings struct{ *output }

// Write implements io.Writer for a whole line.
func (w warnings) Write(line []byte) (int, error) {
	w.writeWarning(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

func (o *output) writeVerifying(p verify.Progress) {
	o.writeLine(p, fmt.Sprintf("verifying: %d of %d parts, %d documents and %d items", p.Finished, p.Units, p.Documents, p.Items), "", "verifying")
}

// writeLine writes how far the work of an entity is that is in a phase.
func (o *output) writeLine(v any, text, entity, phase string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.json:
		_ = json.NewEncoder(o.stdout).Encode(v) // as in line
	case o.terminal:
		o.drawLocked(text)
	case time.Since(o.last[entity].at) > 10*time.Second || o.last[entity].phase != phase:
		fmt.Fprintln(o.stderr, text)
		o.last[entity] = written{time.Now(), phase}
	}
}

// endLine ends a progress line on the terminal.
func (o *output) endLine() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dirty {
		fmt.Fprintln(o.stderr)
		o.dirty, o.drawn = false, 0
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
	s += fmt.Sprintf(", %d changes, %s", p.Changes.Events, showLag(p.Changes.Lag))
	if v := p.Verifying; v != nil {
		s += fmt.Sprintf(", verifying: %d of %d parts", v.Finished, v.Units)
	}
	if v := p.Verification; v != nil && v.Mismatches > 0 {
		s += fmt.Sprintf(", %d MISMATCHES", v.Mismatches)
	}
	return s
}

func showLag(lag time.Duration) string {
	if lag < 0 {
		return "lag not known yet"
	}
	return "lag " + lag.Round(10*time.Millisecond).String()
}

// showStep shows how the last change of owner ended.
func showStep(c *control.Switch) string {
	if c.Held > 0 {
		return fmt.Sprintf("%s; writes were held for %d ms", c.Step, c.Held)
	}
	return c.Step
}

func showFollowed(followed bool) string {
	if followed {
		return "followed"
	}
	return "not followed by any process"
}

func showMismatch(m side.Mismatch) string {
	s := fmt.Sprintf("mismatch: %s is %s", m.ID, m.Kind)
	if m.Detail != "" {
		s += " (" + m.Detail + ")"
	}
	if m.Repaired {
		s += ", repaired"
	}
	return s
}

// stray is a stray document and what the collection holds under its _id, in JSON.
type stray struct {
	Collection string          `json:"collection"`
	Stray      json.RawMessage `json:"stray"`
	Current    json.RawMessage `json:"current"`
}

func strayOf(d fence.StrayDocument) stray {
	return stray{d.Collection, extended(d.Stray), extended(d.Current)}
}

// extended is a document as extended JSON, null for none.
func extended(doc bson.Raw) json.RawMessage {
	if doc == nil {
		return json.RawMessage("null")
	}
	text, err := bson.MarshalExtJSON(doc, false, false)
	if err != nil {
		text, _ = json.Marshal(fmt.Sprintf("unreadable: %v", err)) // a text always encodes
	}
	return text
}

func showStray(d fence.StrayDocument) string {
	s := strayOf(d)
	return fmt.Sprintf("%s\n  stray    %s\n  current  %s", s.Collection, s.Stray, s.Current)
}

func showCompleted(c migrate.Completed) string {
	were, s := "were", fmt.Sprintf("The migration of %s is complete; ", c.Entity)
	if c.DryRun {
		were, s = "would be", fmt.Sprintf("The migration of %s can be completed, after which there is no way back; nothing was touched: ", c.Entity)
	}
	s += fmt.Sprintf("%d tombstones %s removed.", c.Tombstones, were)
	if c.Exported != nil {
		s += fmt.Sprintf(" %d documents %s exported to %s.", c.Exported.Documents, were, c.Exported.Path)
	}
	if len(c.Dropped) > 0 {
		s += fmt.Sprintf(" In MongoDB %s %s dropped.", strings.Join(c.Dropped, ", "), were)
	}
	if len(c.Left) > 0 {
		s += " In MongoDB these stay, to be dropped when nobody needs them: " + strings.Join(c.Left, ", ") + "."
	}
	return s
}

func showHistory(c ownership.Change) string {
	s := fmt.Sprintf("%s  %s -> %s", c.At.Format(time.RFC3339), c.FromPhase, c.Phase)
	if c.FromOwner != c.Owner {
		s += fmt.Sprintf(", owner %s -> %s, epoch %d", c.FromOwner, c.Owner, c.Epoch)
	}
	s += "\n  by           " + c.By
	for _, line := range c.Evidence {
		s += "\n  evidence     " + line
	}
	return s
}

func showAbandonment(a migrate.Abandonment) string {
	s := fmt.Sprintf("The migration of %s can be abandoned; nothing was touched: ", a.Entity)
	switch a.Collection {
	case "":
		s += "the collection is gone, so nothing would have the name " + a.Name + "."
	case a.Name:
		s += a.Name + " keeps its name."
	default:
		s += fmt.Sprintf("%s would be called %s again.", a.Collection, a.Name)
	}
	if len(a.Dropped) > 0 {
		s += " These views would be dropped: " + strings.Join(a.Dropped, ", ") + "."
	}
	return s + " These would stay: " + strings.Join(append(a.Left, a.Tables...), ", ") + "."
}

func showStrays(collections []string, documents, late, misfits int) string {
	var all []string
	if len(collections) > 0 {
		all = append(all, fmt.Sprintf("%d documents in collections that others created: %s.", documents, strings.Join(collections, ", ")))
	}
	if late > 0 {
		all = append(all, fmt.Sprintf("%d writes to the table while MongoDB owned the entity.", late))
	}
	if misfits > 0 {
		all = append(all, fmt.Sprintf("%d items that do not fit MongoDB.", misfits))
	}
	if len(all) == 0 {
		return "There are no strays."
	}
	return strings.Join(all, " ")
}

// lateWrite is a late write with what it wrote, in JSON.
type lateWrite struct {
	reverse.LateWrite
	Document json.RawMessage `json:"document"`
}

func showLateWrite(w reverse.LateWrite) string {
	s := fmt.Sprintf("%s\n  late write of %s, epoch %d, to the item %s", w.Sequence, w.At.Format(time.RFC3339), w.Epoch, w.Key)
	if w.Removed {
		return s + ", which it removed"
	}
	if w.Problem != "" {
		return s + "\n  image    " + w.Image
	}
	return s + "\n  document " + string(extended(w.Document))
}

func showReverse(h reverse.Health) string {
	switch {
	case h.Ended != "":
		return "has ended: " + h.Ended
	case h.Begun.IsZero():
		return "has not begun"
	}
	s := fmt.Sprintf("%s, %s, %d shards", showLag(h.Lag), showFollowed(h.Followed), h.Shards)
	if h.Shards == 1 {
		s = strings.TrimSuffix(s, "s")
	}
	if h.TimeLeft > 0 {
		s += fmt.Sprintf(", possible for %s more", h.TimeLeft.Round(time.Minute))
	}
	if h.ProbedAt.IsZero() {
		s += ", has carried no probe yet"
	} else {
		s += ", last probe at " + h.ProbedAt.Format(time.RFC3339)
	}
	if h.OutOfBand > 0 {
		s += fmt.Sprintf(", %d changes not by the service, the last to %s", h.OutOfBand, h.LastKey)
	}
	return s
}

func showVerification(v control.Verification) string {
	return fmt.Sprintf("Compared %d documents with %d items (%d tombstones) and %d unique entries in %s: %d mismatches, %d repaired.",
		v.Documents, v.Items, v.Tombstones, v.Unique, v.FinishedAt.Sub(v.StartedAt).Round(time.Millisecond), v.Mismatches, v.Repaired)
}

func showSwitch(s control.Switch) string {
	if s.DryRun && s.Step == cutover.StepPossible {
		return fmt.Sprintf("The %s of %s is possible now. Nothing was touched.", showChange(s.To), s.Entity)
	}
	owner := fmt.Sprintf("%s belongs to %s since epoch %d.", s.Entity, showStore(s.To), s.Epoch+1)
	if s.Held > 0 { // else it was finished for a process that died, and took the times with it
		owner += fmt.Sprintf(" Writes were held for %d ms; %d documents compared before, %d while held.", s.Held, s.Compared, s.TailKeys)
		owner += "\n  steps        " + s.Took()
	}
	if s.By != "" {
		owner += "\n  by           " + s.By
	}
	for _, line := range s.Evidence {
		owner += "\n  evidence     " + line
	}
	for _, line := range s.Warnings {
		owner += "\n  let pass     " + line
	}
	return owner
}

// showChange is what makes a store the owner.
func showChange(to ownership.Store) string {
	if to == ownership.MongoDB {
		return "rollback"
	}
	return "cut-over"
}

func showStore(s ownership.Store) string {
	if s == ownership.MongoDB {
		return "MongoDB"
	}
	return "DynamoDB"
}

func showStatus(s migrate.Status) string {
	lines := []string{
		fmt.Sprintf("%s: phase %s, owner %s, epoch %d", s.Entity, s.Phase, s.Owner, s.Epoch),
		fmt.Sprintf("  copied         %d of about %d documents, %d of %d ranges", s.Copied.Documents, max(s.Copied.Of, s.Copied.Documents),
			s.Copied.Done, s.Copied.Ranges),
		fmt.Sprintf("  changes        %d applied, %s, %s", s.Changes.Events, showLag(s.Changes.Lag), showFollowed(s.Changes.Followed)),
	}
	if reverse.Active(s.Phase) {
		lines = append(lines, "  way back       "+showReverse(s.Reverse))
	}
	if left := s.OplogLeft; left != nil {
		lines = append(lines, fmt.Sprintf("  oplog          holds the changes for %s more", max(0, *left).Round(time.Minute)))
	}
	if s.Changes.Error != "" {
		lines = append(lines, "  stopped        "+s.Changes.Error)
	}
	if s.Changes.OutOfBand.Writes > 0 {
		lines = append(lines, fmt.Sprintf("  out of band    %d writes not by the service, the last to %s at %s", s.Changes.OutOfBand.Writes,
			s.Changes.OutOfBand.LastID, s.Changes.OutOfBand.LastAt.Format(time.RFC3339)))
	}
	if m := s.Misfits; m.Count > 0 {
		lines = append(lines, fmt.Sprintf("  set aside      %d documents that do not fit, the first is %s (%s): %s", m.Count, m.First.Shown,
			m.First.Why, m.First.WayOut))
	}
	if v := s.Verification; v != nil {
		lines = append(lines, fmt.Sprintf("  verified       %s: %d documents, %d mismatches", v.FinishedAt.Format(time.RFC3339), v.Documents, v.Mismatches))
	}
	if v := s.Verifying; v != nil {
		lines = append(lines, fmt.Sprintf("  verifying      %d of %d parts, %d documents and %d items so far", v.Finished, v.Units, v.Documents, v.Items))
	}
	if s.Waits != "" {
		lines = append(lines, "  copying        waits: "+s.Waits)
	}
	if s.Paused || s.Throttle > 0 {
		lines = append(lines, fmt.Sprintf("  copying        paused: %t, at most %d documents a second (0: unlimited)", s.Paused, s.Throttle))
	}
	if s.Collection != "" {
		lines = append(lines, "  collection     is called "+s.Collection)
	}
	if n := s.Changes.Strays.Writes; n > 0 {
		lines = append(lines, fmt.Sprintf("  strays         %d writes so far under names that the collection had left, the last to %s: see `banyan-migrate strays`",
			n, s.Changes.Strays.LastID))
	}
	if s.WritesHeld {
		lines = append(lines, "  writes         held")
	}
	if c := s.Cutover; c != nil {
		lines = append(lines, fmt.Sprintf("  %-14s %s", showChange(c.To), showStep(c)))
	}
	if !s.RollbackUntil.IsZero() {
		lines = append(lines, "  rollback       possible until "+s.RollbackUntil.Format(time.RFC3339)+", and longer while the way back is followed")
	}
	for _, p := range s.Problems {
		switch {
		case s.Phase == ownership.Complete:
			lines = append(lines, "  problem        "+p)
		case s.Owner == ownership.DynamoDB:
			lines = append(lines, "  rollback       refused now: "+p)
		default:
			lines = append(lines, "  cut-over       refused now: "+p)
		}
	}
	for _, w := range s.Warnings {
		lines = append(lines, "  warning        "+w)
	}
	for _, w := range s.Workers {
		lines = append(lines, fmt.Sprintf("  worker         %s pid %d on %s, seen %s ago", w.ID, w.PID, w.Host, s.At.Sub(w.SeenAt).Round(100*time.Millisecond)))
	}
	for _, m := range s.Members {
		line := fmt.Sprintf("  instance       %s (%s), acknowledged revision %d", m.ID, m.Service, m.Acked)
		if r := m.Shadow; r.Compared > 0 {
			line += fmt.Sprintf("; of %d shadow reads %d differed, %d for a time, %d failed", r.Compared, r.Different, r.InFlight, r.Failed)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
