package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate"
)

// Sizes of what verbs show on a terminal, which is at least so wide.
const (
	viewWidth = 79
	barWidth  = 40
	viewGates = 6
	// viewEntities is how many entities have a line.
	viewEntities = 20
	// gatesPoll is how often it is looked what would refuse a change of owner.
	gatesPoll = 5 * time.Second
)

// showView shows a progress on several lines: what showProgress says, the ranges while they
// are copied, the way back, and what would refuse the next change of owner.
func showView(p migrate.Progress, gates []string) string {
	lines := []string{showProgress(p)}
	if p.Message != "" {
		return cut(lines[0])
	}
	if c := p.Copied; !c.Complete && c.Ranges > 0 {
		lines = append(lines, fmt.Sprintf("  ranges    %s %d of %d", bar(c.Done, c.Ranges), c.Done, c.Ranges))
	}
	if h := p.Reverse; !h.Begun.IsZero() {
		line := "  way back  " + showLag(h.Lag)
		if h.TimeLeft > 0 {
			line += fmt.Sprintf(", possible for %s more", h.TimeLeft.Round(time.Minute))
		}
		lines = append(lines, line)
	}
	return joinView(lines, gates)
}

// bar shows a part of a whole.
func bar[N int | time.Duration](part, whole N) string {
	done := int(barWidth * min(part, whole) / whole)
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", barWidth-done) + "]"
}

// joinView adds what would refuse a change of owner to the lines of a view.
func joinView(lines, gates []string) string {
	for i, gate := range gates {
		if i == viewGates {
			lines = append(lines, fmt.Sprintf("  gate      and %d more: see `banyan-migrate status`", len(gates)-i))
			break
		}
		lines = append(lines, wrap("  gate      ", firstLine(gate))...)
	}
	for i, line := range lines {
		lines[i] = cut(line)
	}
	return strings.Join(lines, "\n")
}

// view is what a terminal shows: a progress, or the last one of each of several entities.
func (o *output) view(p migrate.Progress) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.several {
		return showView(p, o.gates[p.Entity])
	}
	line := p.Entity + ": " + showProgress(p)
	if n := len(o.gates[p.Entity]); n > 0 {
		line += fmt.Sprintf(", %d in the way", n)
	}
	o.views[p.Entity] = cut(line)
	lines := []string{}
	for _, name := range slices.Sorted(maps.Keys(o.views)) {
		lines = append(lines, o.views[name])
	}
	if more := len(lines) - viewEntities; more > 0 {
		lines = append(lines[:viewEntities], fmt.Sprintf("and %d more: see `banyan-migrate status`", more))
	}
	return strings.Join(lines, "\n")
}

// wrap divides a text behind a label into lines.
func wrap(label, text string) []string {
	var lines []string
	line := strings.TrimRight(label, " ")
	for _, word := range strings.Fields(text) {
		switch width := utf8.RuneCountInString(line); {
		case width < len(label): // the first word
			line = label + word
		case width+1+utf8.RuneCountInString(word) > viewWidth:
			lines, line = append(lines, line), strings.Repeat(" ", len(label))+word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// cut keeps a line from wrapping.
func cut(line string) string {
	if all := []rune(line); len(all) > viewWidth {
		return string(all[:viewWidth-1]) + "…"
	}
	return line
}

// drawLocked puts a view in the place of the last one.
func (o *output) drawLocked(view string) {
	up := ""
	if o.drawn > 0 {
		up = fmt.Sprintf("\x1b[%dA", o.drawn)
	}
	fmt.Fprintf(o.stderr, "%s\r\x1b[J%s", up, view)
	o.drawn, o.dirty = strings.Count(view, "\n"), true
}

// whileWatchingGates runs fn and looks meanwhile what would refuse a change of owner, where
// somebody sees it.
func (o *output) whileWatchingGates(ctx context.Context, all []*migrate.Engine, fn func(context.Context) error) error {
	if !o.terminal || o.json {
		return fn(ctx)
	}
	watched, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			for _, e := range all {
				if o.isStepping() { // while writes wait, nothing is asked for besides
					continue
				}
				if s, err := e.Status(watched); err == nil { // else the next look says
					o.mu.Lock()
					o.gates[s.Entity] = s.Problems
					o.mu.Unlock()
				}
			}
			if backoff.Sleep(watched, gatesPoll) != nil {
				return
			}
		}
	})
	err := fn(ctx)
	stop()
	watch.Wait()
	return err
}
