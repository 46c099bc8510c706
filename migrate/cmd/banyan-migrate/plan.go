package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/preflight"
)

type planVerb struct {
	Terraform bool `help:"Print Terraform for the tables instead, and ask no store."`
}

// Run checks the plan against both stores and every document.
func (v planVerb) Run(ctx context.Context, open *opener, out *output) error {
	if v.Terraform {
		return printTerraform(open.settings, out)
	}
	at, err := open.one()
	if err != nil {
		return err
	}
	db := at.mongo.Database(cmp.Or(at.plan.Source.Database, at.database))
	r, err := preflight.Run(ctx, preflight.Config{Plan: at.plan, DB: db, DynamoDB: at.dynamoDB, ControlTable: open.Control},
		func(m preflight.Misfit) { out.writeFinding(m, showMisfit(m)) })
	if err != nil && !errors.Is(err, preflight.ErrStops) {
		return err
	}
	if resultErr := out.writeResult(r, showReport(r)); resultErr != nil {
		return resultErr
	}
	if err != nil {
		return shownError{err}
	}
	return nil
}

func printTerraform(s *settings, out *output) error {
	if err := s.refuseDirectory(); err != nil {
		return err
	}
	p, err := plan.Read(s.Plan)
	if err != nil {
		return err
	}
	if out.json {
		return out.writeResult(map[string]string{"terraform": p.Terraform()}, "")
	}
	_, err = fmt.Fprint(out.stdout, p.Terraform())
	return err
}

func showMisfit(m preflight.Misfit) string {
	field := ""
	if m.Field != "" {
		field = fmt.Sprintf(", field %q", m.Field)
	}
	return fmt.Sprintf("does not fit: %s%s: %s; %s", m.ID, field, m.Why, m.WayOut)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// showReport shows what stops the plan last, so that it stands where the reader looks.
func showReport(r preflight.Report) string {
	lines := []string{fmt.Sprintf("%s: %s -> %s", r.Entity, r.Source, strings.Join(r.Tables, ", "))}
	for _, d := range r.Definitions {
		lines = append(lines, "  table          "+d.String())
	}
	lines = append(lines,
		fmt.Sprintf("  documents      %d (%s in MongoDB, %s in DynamoDB)", r.Documents, megabytes(r.SourceBytes), megabytes(r.TargetBytes)),
		fmt.Sprintf("  predicted      %d write units, %.2f USD, %s at the plan's write rate", r.WriteUnits, r.Cost, r.Time.Round(time.Second)),
		fmt.Sprintf("  does not fit   %d", r.Misfits),
	)
	if r.Largest > 0 {
		lines = append(lines, fmt.Sprintf("  largest item   %d bytes: %s", r.Largest, r.LargestID))
	}
	var unlisted []string
	for _, severity := range []preflight.Severity{preflight.Told, preflight.Acknowledge, preflight.Stops} {
		for _, f := range r.Findings {
			if f.Severity != severity {
				continue
			}
			lines = append(lines, showFinding(f))
			if f.Blocks() && severity == preflight.Acknowledge {
				unlisted = append(unlisted, f.Name)
			}
		}
	}
	if len(unlisted) > 0 {
		names, _ := json.Marshal(unlisted) // strings; a JSON list is a YAML list
		lines = append(lines, "To accept it, add this line to the plan, or these names to it:", "acknowledge: "+string(names))
	}
	if r.Stopped() {
		lines = append(lines, "Nothing was written. The plan stops until what is listed above is settled; then run plan again.")
	}
	return strings.Join(lines, "\n")
}

func showFinding(f preflight.Finding) string {
	label := string(f.Severity)
	if f.Acknowledged {
		label = "acknowledged"
	}
	return fmt.Sprintf("  %-14s %s", label, f)
}
