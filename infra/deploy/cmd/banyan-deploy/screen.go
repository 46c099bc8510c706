package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// screen writes results to the standard output and, unless they are JSON too,
// progress to the standard error.
type screen struct {
	out, notes io.Writer
	json       bool
	now        func() time.Time
}

func (s *screen) encode(v any) error {
	if err := json.NewEncoder(s.out).Encode(v); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func (s *screen) print(format string, args ...any) error {
	if _, err := fmt.Fprintf(s.out, format, args...); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

func (s *screen) progress(p deploy.Progress) {
	if s.json {
		_ = s.encode(p) // the result says so if nobody reads
		return
	}
	s.note("%s", p.Text)
}

// note prints what happens for a person.
func (s *screen) note(format string, args ...any) {
	fmt.Fprintf(s.notes, "%s  %s\n", s.now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// result prints the state of the alias, also after an error.
func (s *screen) result(r deploy.Result, err error) error {
	var failure string
	if err != nil {
		failure = err.Error()
	}
	if s.json {
		return errors.Join(err, s.encode(struct {
			deploy.Result
			Error string `json:"error,omitempty"`
		}{r, failure}))
	}
	if err != nil || r.DryRun {
		return err
	}
	return s.print("%s is at %s\n", r.Target, r.To)
}

func (s *screen) aliasState(t deploy.Target, at deploy.AliasState) error {
	if s.json {
		return s.encode(struct {
			deploy.Target
			deploy.AliasState
			Stable bool `json:"stable"`
		}{t, at, at.Stable()})
	}
	if !at.Stable() {
		return s.print("%s is between two: %s. If no other deployment is running, continue with promote or go back with rollback\n", t, at)
	}
	return s.print("%s is at %s\n", t, at)
}

func (s *screen) list(prefix string, all []deploy.Running) error {
	switch {
	case s.json && all == nil:
		return s.encode([]deploy.Running{})
	case s.json:
		return s.encode(all)
	case len(all) == 0 && prefix == "":
		s.note("there are no functions in this account and region")
		return nil
	case len(all) == 0:
		s.note("there are no functions in this account and region whose names begin with %q", prefix)
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FUNCTION\tALIAS\tVERSION\tWEIGHT\tAGE\tARCH\tCODE\tCOMMIT")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d %%\t%s\t%s\t%.12s\t%s\n", r.Function, cmp.Or(r.Alias, "-"), r.Version, r.Percent,
			age(s.now(), r.Published), r.Architecture, r.Code, r.Commit)
	}
	return w.Flush()
}

// age is short enough for a column.
func age(now, then time.Time) string {
	if then.IsZero() {
		return "?"
	}
	switch d := max(now.Sub(then), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// built prints an archive; as JSON, the manifest has it.
func (s *screen) built(a deploy.Artifact) {
	if !s.json {
		_ = s.print("%s  %s  %d KiB\n", a.SHA256, a.File, a.Size>>10) // the manifest has it too
	}
}
