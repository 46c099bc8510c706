package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
)

// stepsDraw is how often the time for which writes are held is drawn.
const stepsDraw = 100 * time.Millisecond

// steps are how far a verb is that holds writes.
type steps struct {
	what   string
	entity string
	all    []string
	now    string // one of all, or what is done before
	budget time.Duration
	heldAt time.Time
}

// show shows them on a few lines, and what would refuse the verb.
func (s steps) show(gates []string, at time.Time) string {
	line := "  steps    "
	for _, name := range s.all {
		if name == s.now {
			name = "[" + name + "]"
		}
		line += " " + name
	}
	lines := []string{s.what + " of " + s.entity + ": " + s.now, line}
	if !s.heldAt.IsZero() {
		held := at.Sub(s.heldAt)
		lines = append(lines, fmt.Sprintf("  writes    %s held for %d of %d ms", bar(held, s.budget), held.Milliseconds(), s.budget.Milliseconds()))
	}
	return joinView(lines, gates)
}

// isStepping reports whether a verb has begun what it holds writes for.
func (o *output) isStepping() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.steps != nil && slices.Contains(o.steps.all, o.steps.now)
}

// writeStep writes that a step begins, or what is done before the first one.
func (o *output) writeStep(step string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.steps; s != nil {
		if s.now = step; step == cutover.StepHold {
			s.heldAt = time.Now()
		}
	}
	switch {
	case o.json:
		_ = json.NewEncoder(o.stdout).Encode(map[string]any{"at": time.Now().UTC(), "step": step}) // as in line
	case o.terminal && o.steps != nil:
		o.drawStepsLocked()
	default:
		fmt.Fprintln(o.stderr, step)
	}
}

func (o *output) drawStepsLocked() {
	o.drawLocked(o.steps.show(o.gates[o.steps.entity], time.Now()))
}

// whileStepping runs fn, which calls writeStep, and shows on a terminal meanwhile how long it
// holds writes, and before what would refuse it.
func (o *output) whileStepping(ctx context.Context, e *migrate.Engine, what string, all []string, fn func(context.Context) error) error {
	defer o.endLine()
	if !o.terminal || o.json {
		return fn(ctx)
	}
	o.mu.Lock()
	o.steps = &steps{what: what, entity: e.Plan.Entity, all: all, budget: e.Plan.Budgets.Hold}
	o.mu.Unlock()
	o.writeStep("looking for what would refuse it")
	return o.whileWatchingGates(ctx, []*migrate.Engine{e}, func(ctx context.Context) error {
		drawn, stop := context.WithCancel(ctx)
		var draw sync.WaitGroup
		defer draw.Wait()
		defer stop()
		draw.Go(func() {
			for backoff.Sleep(drawn, stepsDraw) == nil {
				o.mu.Lock()
				o.drawStepsLocked()
				o.mu.Unlock()
			}
		})
		return fn(ctx)
	})
}
