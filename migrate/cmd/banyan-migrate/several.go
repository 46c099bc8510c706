package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// entityError is why the verb failed for one of several entities.
type entityError struct {
	entity string
	error
}

func (e entityError) Unwrap() error { return e.error }

// entityErrors are those of all that it failed for.
type entityErrors []entityError

// Error names the entities that have each reason.
func (all entityErrors) Error() string {
	names, reasons := map[string][]string{}, []string{}
	for _, e := range all {
		text := strings.TrimPrefix(e.error.Error(), e.entity+": ") // many say it themselves
		if names[text] == nil {
			reasons = append(reasons, text)
		}
		names[text] = append(names[text], e.entity)
	}
	for i, text := range reasons {
		reasons[i] = strings.Join(names[text], ", ") + ": " + text
	}
	return strings.Join(reasons, "; ")
}

// exitCode is that of what went worst: the lowest.
func (all entityErrors) exitCode(ctx context.Context) int {
	var codes []int
	for _, e := range all {
		codes = append(codes, exitCode(ctx, e.error))
	}
	return slices.Min(codes)
}

// forEach runs fn for all entities at once. The failure of one is told when it happens, and
// stops none of the others.
func (o *output) forEach(ctx context.Context, all []*migrate.Engine, fn func(int, *migrate.Engine) error) error {
	if !o.several {
		return fn(0, all[0])
	}
	failed := make([]error, len(all))
	var wg sync.WaitGroup
	for i, e := range all {
		wg.Go(func() {
			err := fn(i, e)
			if failed[i] = err; err != nil && !errors.Is(err, errInterrupted) {
				o.writeFailure(e.Plan.Entity, err, exitCode(ctx, err))
			}
		})
	}
	wg.Wait()
	var errs entityErrors
	for i, err := range failed {
		if err != nil {
			errs = append(errs, entityError{all[i].Plan.Entity, err})
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// showTable shows each entity in a line, and below what would refuse its next change of owner.
func showTable(all []migrate.Status, engines []*migrate.Engine, now time.Time) string {
	var b, below strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ENTITY\tPHASE\tOWNER\tCOPIED\tLAG\tVERIFIED\tAFTER\tIN THE WAY")
	for i, s := range all {
		name := engines[i].Plan.Entity
		if s.Entity == "" {
			fmt.Fprintf(table, "%s\tunknown\t\t\t\t\t\t\n", name)
			continue
		}
		lag, verified := s.Changes.Lag, "-"
		if s.Owner == ownership.DynamoDB {
			lag = s.Reverse.Lag
		}
		if v := s.Verification; v != nil {
			verified = fmt.Sprintf("%s ago: %d differ", now.Sub(v.FinishedAt).Round(time.Second), v.Mismatches)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d of %d\t%s\t%s\t%s\t%d\n", name, s.Phase, s.Owner, s.Copied.Documents, max(s.Copied.Of, s.Copied.Documents),
			strings.TrimPrefix(showLag(lag), "lag "), verified, strings.Join(engines[i].Plan.SwitchAfter, ","), len(s.Problems))
		for _, p := range s.Problems {
			fmt.Fprintf(&below, "%s: refused now: %s\n", name, firstLine(p))
		}
	}
	_ = table.Flush() // to a builder
	return strings.TrimSuffix(b.String()+below.String(), "\n")
}
