package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
)

// commands is the command line.
type commands struct {
	settings
	Init     initVerb     `cmd:"" help:"Create the control table, once for each account and region."`
	Schema   schemaVerb   `cmd:"" help:"Print the JSON Schema of a plan, for editors."`
	Plan     planVerb     `cmd:"" name:"plan" help:"Predict size, time and cost, and check every document; writes nothing."`
	Run      runVerb      `cmd:"" help:"Copy, and follow the changes until the owner has switched. Run it again to resume."`
	Verify   verifyVerb   `cmd:"" help:"Compare both stores, in both directions."`
	Cutover  cutoverVerb  `cmd:"" help:"Make DynamoDB the owner."`
	Status   statusVerb   `cmd:"" help:"Show the state of the migration, and why a cut-over would be refused."`
	Pause    pauseVerb    `cmd:"" help:"Stop copying in all processes; changes are still followed."`
	Resume   resumeVerb   `cmd:"" help:"Resume copying."`
	Throttle throttleVerb `cmd:"" name:"throttle" help:"Limit the copying of each process while it runs."`
}

// shownError is an error whose findings were printed already.
type shownError struct{ error }

func (e shownError) Unwrap() error { return e.error }

type initVerb struct{}

// Run creates the control table.
func (initVerb) Run(ctx context.Context, s *settings, out *output) error {
	db, err := dynamoDB(ctx)
	if err != nil {
		return err
	}
	if err := migrate.Init(ctx, db, s.Control); err != nil {
		return err
	}
	return out.writeResult(map[string]string{"controlTable": s.Control}, "The control table "+s.Control+" exists.")
}

type schemaVerb struct{}

// Run prints the schema.
func (schemaVerb) Run(out *output) error {
	_, err := out.stdout.Write(plan.Schema)
	return err
}

type planVerb struct{}

// Run checks the plan against every document.
func (planVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		p, err := e.Preflight(ctx, func(m migrate.Misfit) { out.writeFinding(m, showMisfit(m)) })
		if err != nil && !errors.Is(err, migrate.ErrMisfits) {
			return err
		}
		if resultErr := out.writeResult(p, showPreflight(p)); resultErr != nil {
			return resultErr
		}
		if err != nil && !out.json {
			fmt.Fprintln(out.stdout, "Nothing was copied. Correct what is listed above, then run plan again.")
		}
		if err != nil {
			return shownError{err}
		}
		return nil
	})
}

type runVerb struct {
	Until     string `help:"Stop at this phase: shadowing (all is copied and changes are applied) or switched." enum:"shadowing,switched" default:"switched"`
	FromStart bool   `help:"Copy everything afresh, from a new position in the change stream."`
}

// Run copies and follows the changes.
func (v runVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		if err := e.Init(ctx); err != nil {
			return err
		}
		err := e.Run(ctx, migrate.RunOptions{UntilShadowing: v.Until == "shadowing", FromStart: v.FromStart})
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return errors.New("interrupted; run the command again to resume")
		}
		if err != nil {
			return err
		}
		st, err := e.Status(ctx)
		if err != nil {
			return err
		}
		out.endLine()
		return out.writeResult(st, fmt.Sprintf("%s: %s, %d documents copied, %d changes applied.", st.Entity, st.Phase, st.Copied.Documents, st.Changes.Events))
	})
}

type verifyVerb struct {
	Repair bool `help:"Write what differs to DynamoDB again, from MongoDB."`
}

// Run compares.
func (v verifyVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		r, err := e.Verify(ctx, migrate.VerifyOptions{Repair: v.Repair, Report: func(m target.Mismatch) { out.writeFinding(m, showMismatch(m)) }})
		if err != nil {
			return err
		}
		if err := out.writeResult(r, showVerification(r)); err != nil {
			return err
		}
		if r.Mismatches > 0 {
			return shownError{fmt.Errorf("%d mismatches", r.Mismatches)}
		}
		return nil
	})
}

type cutoverVerb struct {
	DryRun bool `help:"Only check whether a cut-over would be accepted; changes nothing."`
}

// Run switches the owner.
func (v cutoverVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		sum, err := e.Cutover(ctx, migrate.CutoverOptions{DryRun: v.DryRun, Step: out.writeStep})
		out.endLine()
		if err != nil {
			if out.json {
				out.writeFinding(sum, "")
			}
			return err
		}
		return out.writeResult(sum, showSwitch(sum))
	})
}

type statusVerb struct{}

// Run shows everything.
func (statusVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		st, err := e.Status(ctx)
		if err != nil {
			return err
		}
		return out.writeResult(st, showStatus(st))
	})
}

type pauseVerb struct{}

// Run pauses.
func (pauseVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		if err := e.Pause(ctx); err != nil {
			return err
		}
		return out.writeResult(map[string]bool{"paused": true}, "Copying pauses within a second.")
	})
}

type resumeVerb struct{}

// Run resumes.
func (resumeVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		if err := e.Resume(ctx); err != nil {
			return err
		}
		return out.writeResult(map[string]bool{"paused": false}, "Copying resumes within a second.")
	})
}

type throttleVerb struct {
	PerSecond int `arg:"" help:"Documents a second for each process; 0 removes the limit."`
}

// Run throttles.
func (v throttleVerb) Run(ctx context.Context, s *settings, out *output) error {
	if v.PerSecond < 0 {
		return fmt.Errorf("%w: invalid rate %d: it must not be negative", serving.ErrUsage, v.PerSecond)
	}
	return s.withEngine(ctx, out, func(e *migrate.Engine) error {
		if err := e.SetThrottle(ctx, v.PerSecond); err != nil {
			return err
		}
		return out.writeResult(map[string]int{"documentsPerSecond": v.PerSecond},
			fmt.Sprintf("Within a second, each process copies at most %d documents a second (0: unlimited).", v.PerSecond))
	})
}
