package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/target"
)

// commands is the command line.
type commands struct {
	settings
	Init     initVerb     `cmd:"" help:"Create the control table."`
	Plan     planVerb     `cmd:"" name:"plan" help:"Say what will happen, and check every document; nothing is written."`
	Run      runVerb      `cmd:"" help:"Copy, and follow the changes until the owner has switched."`
	Verify   verifyVerb   `cmd:"" help:"Compare both stores, each way."`
	Cutover  cutoverVerb  `cmd:"" help:"Make DynamoDB the owner."`
	Status   statusVerb   `cmd:"" help:"Show where the migration is."`
	Pause    pauseVerb    `cmd:"" help:"Stop copying, in all processes; changes are still followed."`
	Resume   resumeVerb   `cmd:"" help:"Go on copying."`
	Throttle throttleVerb `cmd:"" name:"throttle" help:"Limit the copying of each process, while it runs."`
}

// toldError was shown to the user already.
type toldError struct{ error }

func (e toldError) Unwrap() error { return e.error }

type initVerb struct{}

// Run creates the control table.
func (initVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		if err := e.Init(ctx); err != nil {
			return err
		}
		return out.result(map[string]string{"controlTable": s.Control}, "The control table "+s.Control+" is there.")
	})
}

type planVerb struct{}

// Run checks the plan against every document.
func (planVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		p, err := e.Preflight(ctx, func(m migrate.Misfit) { out.line(m, showMisfit(m)) })
		if err != nil && !errors.Is(err, migrate.ErrMisfits) {
			return err
		}
		if resultErr := out.result(p, showPreflight(p)); resultErr != nil {
			return resultErr
		}
		if err != nil && !out.json {
			fmt.Fprintln(out.stdout, "Nothing was copied. Repair what is listed above and plan again.")
		}
		if err != nil {
			return toldError{err}
		}
		return nil
	})
}

type runVerb struct {
	Until     string `help:"Stop when this phase is reached (shadowing)." enum:"shadowing,switched" default:"switched"`
	FromStart bool   `help:"Copy everything afresh, from a new position in the change stream."`
}

// Run copies and follows.
func (v runVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		if err := e.Init(ctx); err != nil {
			return err
		}
		err := e.Run(ctx, migrate.RunOptions{UntilShadowing: v.Until == "shadowing", FromStart: v.FromStart})
		if errors.Is(err, context.Canceled) && ctx.Err() != nil {
			return errors.New("interrupted; run it again, it goes on where it was")
		}
		if err != nil {
			return err
		}
		st, err := e.Status(ctx)
		if err != nil {
			return err
		}
		out.end()
		return out.result(st, fmt.Sprintf("%s: %s, %d documents copied, %d changes applied.", st.Entity, st.Phase, st.Copied.Documents, st.Changes.Events))
	})
}

type verifyVerb struct {
	Repair bool `help:"Bring what differs to DynamoDB again."`
}

// Run compares.
func (v verifyVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		r, err := e.Verify(ctx, migrate.VerifyOptions{Repair: v.Repair, Report: func(m target.Mismatch) { out.line(m, showMismatch(m)) }})
		if err != nil {
			return err
		}
		if err := out.result(r, showVerification(r)); err != nil {
			return err
		}
		if r.Mismatches > 0 {
			return toldError{fmt.Errorf("%d mismatches", r.Mismatches)}
		}
		return nil
	})
}

type cutoverVerb struct {
	DryRun bool `help:"Only say whether it would be possible; touches nothing."`
}

// Run switches the owner.
func (v cutoverVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		sum, err := e.Cutover(ctx, migrate.CutoverOptions{DryRun: v.DryRun, Step: out.step})
		out.end()
		if err != nil {
			if out.json {
				out.line(sum, "")
			}
			return err
		}
		return out.result(sum, showSwitch(sum))
	})
}

type statusVerb struct{}

// Run shows everything.
func (statusVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		st, err := e.Status(ctx)
		if err != nil {
			return err
		}
		return out.result(st, showStatus(st))
	})
}

type pauseVerb struct{}

// Run pauses.
func (pauseVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		if err := e.Pause(ctx); err != nil {
			return err
		}
		return out.result(map[string]bool{"paused": true}, "Copying pauses within a second.")
	})
}

type resumeVerb struct{}

// Run resumes.
func (resumeVerb) Run(ctx context.Context, s *settings, out *output) error {
	return s.with(ctx, out, func(e *migrate.Engine) error {
		if err := e.Resume(ctx); err != nil {
			return err
		}
		return out.result(map[string]bool{"paused": false}, "Copying goes on within a second.")
	})
}

type throttleVerb struct {
	PerSecond int `arg:"" help:"Documents a second for each process; 0 takes the limit away."`
}

// Run throttles.
func (v throttleVerb) Run(ctx context.Context, s *settings, out *output) error {
	if v.PerSecond < 0 {
		fmt.Fprintln(out.stderr, "banyan-migrate: the rate must not be negative")
		return toldError{os.ErrInvalid}
	}
	return s.with(ctx, out, func(e *migrate.Engine) error {
		if err := e.SetThrottle(ctx, v.PerSecond); err != nil {
			return err
		}
		return out.result(map[string]int{"documentsPerSecond": v.PerSecond}, fmt.Sprintf("Each process copies %d documents a second (0: unlimited) within a second.", v.PerSecond))
	})
}
