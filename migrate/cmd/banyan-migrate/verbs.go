package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// commands is the command line.
type commands struct {
	settings
	Init        initVerb        `cmd:"" help:"Create the control table, once for each account and region."`
	Schema      schemaVerb      `cmd:"" help:"Print the JSON Schema of a plan, for editors."`
	Plan        planVerb        `cmd:"" name:"plan" help:"Predict size, time and cost, and check every document; writes nothing."`
	Clients     clientsVerb     `cmd:"" help:"Show who uses the collection besides the service; exits with 5 where encapsulate and cutover would refuse."`
	Encapsulate encapsulateVerb `cmd:"" help:"Give the collection a name that only the service knows, and a read-only view its public name."`
	Run         runVerb         `cmd:"" help:"Copy, and follow the changes until the owner has switched. Run it again to resume."`
	Verify      verifyVerb      `cmd:"" help:"Compare both stores, in both directions."`
	Repair      repairVerb      `cmd:"" help:"Compare, and write what differs again from the store that owns the entity to the other one."`
	Cutover     cutoverVerb     `cmd:"" help:"Make DynamoDB the owner."`
	Rollback    rollbackVerb    `cmd:"" help:"Make MongoDB the owner again; a further cut-over needs no copy."`
	Complete    completeVerb    `cmd:"" help:"End the migration after the switch: remove tombstones, and export or drop the collection as the plan says."`
	Abandon     abandonVerb     `cmd:"" help:"End the migration before the switch, and give the collection its public name back."`
	Strays      straysVerb      `cmd:"" help:"Show what others wrote under names that the collection had left, beside what it holds, and what does not belong on the way back."`
	Status      statusVerb      `cmd:"" help:"Show the state of the migration, why a cut-over or a rollback would be refused, and until when a rollback is possible."`
	History     historyVerb     `cmd:"" help:"Show every change of the owner and of the phase: when, by whom, from where, and on which evidence."`
	Pause       pauseVerb       `cmd:"" help:"Stop copying in all processes; changes are still followed."`
	Resume      resumeVerb      `cmd:"" help:"Resume copying."`
	Throttle    throttleVerb    `cmd:"" name:"throttle" help:"Limit the copying of each process while it runs."`
}

// errNegative refuses numbers and durations that mean nothing.
var errNegative = errors.New("--watch, --window, --per-second and the rate of throttle must not be negative")

func refuseNegative(negative bool) error {
	if negative {
		return errNegative
	}
	return nil
}

// shownError is an error whose findings were printed already.
type shownError struct{ error }

func (e shownError) Unwrap() error { return e.error }

type initVerb struct{}

// Run creates the control table.
func (initVerb) Run(ctx context.Context, s *settings, out *output) error {
	db, _, err := dynamoDB(ctx)
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

type runVerb struct {
	Until      string `help:"Stop at this phase: shadowing (all is copied, changes are applied, and the way back has carried a probe), switched, or complete." enum:"shadowing,switched,complete" default:"complete"`
	FromStart  bool   `help:"Copy everything afresh, from a new position in the change stream, and remove what was deleted unseen."`
	VerifyRate uint   `help:"Documents and items a second that one of the processes verifies while it follows; 0 verifies nothing." default:"500" placeholder:"N"`
	metricsFlags
}

// Run copies and follows the changes, of all entities at once.
func (v runVerb) Run(ctx context.Context, all []*migrate.Engine, out *output) error {
	return out.metrics.whileGiven(ctx, v.metricsFlags, out, func(ctx context.Context) error {
		return out.whileWatchingGates(ctx, all, func(ctx context.Context) error {
			return out.forEach(ctx, all, func(_ int, e *migrate.Engine) error { return v.runEntity(ctx, e, out) })
		})
	})
}

func (v runVerb) runEntity(ctx context.Context, e *migrate.Engine, out *output) error {
	if err := e.Init(ctx); err != nil {
		return err
	}
	err := e.Run(ctx, migrate.RunOptions{UntilShadowing: v.Until == "shadowing", UntilSwitched: v.Until == "switched", FromStart: v.FromStart,
		VerifyRate: int(v.VerifyRate)})
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errInterrupted
	}
	if err != nil {
		return err
	}
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	out.hooks.observe(st.Entity, st.Phase, st.Verification)
	return out.writeResult(st, fmt.Sprintf("%s: %s, %d documents copied, %d changes applied.", st.Entity, st.Phase, st.Copied.Documents, st.Changes.Events))
}

type encapsulateVerb struct {
	DryRun       bool          `help:"Only check whether it would be accepted; changes nothing."`
	Watch        time.Duration `help:"How long to look for others who use the collection before." default:"10s" placeholder:"DURATION"`
	NoMembers    bool          `help:"Accept that no instance of the owning service is registered."`
	AcceptUnseen bool          `help:"Accept that the plan names no versionField, so that others' writes cannot be told from the service's."`
	AcceptGap    bool          `help:"Accept that the public name is vacant for as long as a rename and a view take."`
}

// Validate refuses a negative duration.
func (v encapsulateVerb) Validate() error { return refuseNegative(v.Watch < 0) }

// Run encapsulates.
func (v encapsulateVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if err := e.Init(ctx); err != nil {
		return err
	}
	opts := migrate.EncapsulateOptions{DryRun: v.DryRun, Watch: v.Watch, NoMembers: v.NoMembers, AcceptUnseen: v.AcceptUnseen, AcceptGap: v.AcceptGap}
	if !out.json {
		opts.Step = out.writeStep
	}
	var st migrate.Status
	err := out.whileStepping(ctx, e, "encapsulation", fence.EncapsulationSteps(), func(ctx context.Context) (err error) {
		st, err = e.Encapsulate(ctx, opts)
		return err
	})
	if err != nil {
		return err
	}
	if v.DryRun {
		return out.writeResult(st, "The encapsulation of "+st.Entity+" is possible now. Nothing was touched.")
	}
	return out.writeResult(st, fmt.Sprintf("%s: %s, the collection is called %s now; its public name is a read-only view.", st.Entity, st.Phase, st.Collection))
}

type clientsVerb struct {
	Window time.Duration `help:"How long to look." default:"10s" placeholder:"DURATION"`
	Watch  bool          `help:"Look again and again, until interrupted."`
}

// Validate refuses a negative duration.
func (v clientsVerb) Validate() error { return refuseNegative(v.Window < 0) }

// Run looks, once or until it is interrupted.
func (v clientsVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	for {
		c, err := e.Clients(ctx, v.Window)
		if v.Watch && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.writeResult(c, showClients(c, time.Now())); err != nil {
			return err
		}
		switch {
		case v.Watch:
		case len(c.Refusals) > 0:
			return shownError{errors.New("others use the collection")}
		default:
			return nil
		}
	}
}

// withoutMembers is the flag of verbs that drop names.
type withoutMembers struct {
	WithoutMember []string `help:"A server of the replica set that is down for good, as rs.status() names it: its answer is not needed." placeholder:"HOST:PORT"`
}

type completeVerb struct {
	DryRun    bool `help:"Only list what would be removed, exported, dropped and left; changes nothing."`
	PerSecond int  `help:"Tombstones removed a second at most; 0 is unlimited." default:"0"`
	withoutMembers
}

// Validate refuses a negative rate.
func (v completeVerb) Validate() error { return refuseNegative(v.PerSecond < 0) }

// Run completes.
func (v completeVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	e.WithoutMembers = v.WithoutMember
	done, err := e.Complete(ctx, migrate.CompleteOptions{DryRun: v.DryRun, PerSecond: v.PerSecond})
	out.endLine()
	if err != nil {
		return err
	}
	return out.writeResult(done, showCompleted(done))
}

type abandonVerb struct {
	DryRun bool `help:"Only say what would be renamed, dropped and left; changes nothing."`
	withoutMembers
}

// Run gives the name back.
func (v abandonVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if v.DryRun {
		a, err := e.RehearseAbandon(ctx)
		if err != nil {
			return err
		}
		return out.writeResult(a, showAbandonment(a))
	}
	e.WithoutMembers = v.WithoutMember
	rec, err := e.Abandon(ctx)
	if err != nil {
		return err
	}
	return out.writeResult(map[string]string{"phase": string(rec.Phase)},
		"The migration of "+rec.Entity+" is abandoned: the service uses its collection by the public name. The tables in DynamoDB are left as they are.")
}

type straysVerb struct {
	Discard string `help:"Drop this collection of strays, with all its documents, or forget the late write of this number." placeholder:"NAME"`
}

// Run lists or discards strays.
func (v straysVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if v.Discard != "" {
		if err := e.Discard(ctx, v.Discard); err != nil {
			return err
		}
		return out.writeResult(map[string]string{"discarded": v.Discard}, v.Discard+" is discarded.")
	}
	documents := 0
	collections, err := e.Strays(ctx, func(d fence.StrayDocument) error {
		documents++
		out.writeFinding(strayOf(d), showStray(d))
		return nil
	})
	if err != nil {
		return err
	}
	late, misfits, err := e.LateWrites(ctx)
	if err != nil {
		return err
	}
	for _, w := range late {
		out.writeFinding(lateWrite{w, extended(w.Document)}, showLateWrite(w))
	}
	for _, m := range misfits {
		out.writeFinding(m, fmt.Sprintf("%s\n  does not fit MongoDB: %s", m.Key, m.Why))
	}
	return out.writeResult(map[string]any{"collections": collections, "documents": documents, "lateWrites": len(late), "misfits": len(misfits)},
		showStrays(collections, documents, len(late), len(misfits)))
}

type verifyVerb struct{}

// Run compares.
func (verifyVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	return compare(ctx, e, out, false)
}

type repairVerb struct {
	DryRun bool `help:"Only compare, as verify does; changes nothing."`
}

// Run compares, and repairs what differs.
func (v repairVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	return compare(ctx, e, out, !v.DryRun)
}

func compare(ctx context.Context, e *migrate.Engine, out *output, repair bool) error {
	r, err := e.Verify(ctx, verify.Options{Repair: repair, Progress: out.writeVerifying,
		Report: func(m side.Mismatch) { out.writeFinding(m, showMismatch(m)) }})
	out.endLine()
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
}

// changeFlags are those of both changes of the owner.
type changeFlags struct {
	DryRun    bool          `help:"Only check whether it would be accepted; changes nothing."`
	NoMembers bool          `help:"Accept that no instance of the owning service is registered."`
	Watch     time.Duration `help:"How long to look for others who use the collection before." default:"2s" placeholder:"DURATION"`
}

// Validate refuses a negative duration.
func (v changeFlags) Validate() error { return refuseNegative(v.Watch < 0) }

type cutoverVerb struct{ changeFlags }

// Run switches the owner.
func (v cutoverVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	return v.changeOwner(ctx, e, out, "cut-over", cutover.Steps(), e.Cutover)
}

type rollbackVerb struct{ changeFlags }

// Run switches the owner back.
func (v rollbackVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	return v.changeOwner(ctx, e, out, "rollback", cutover.RollbackSteps(), e.Rollback)
}

func (v changeFlags) changeOwner(ctx context.Context, e *migrate.Engine, out *output, what string, steps []string,
	change func(context.Context, cutover.Options) (control.Switch, error)) error {
	var sum control.Switch
	err := out.whileStepping(ctx, e, what, steps, func(ctx context.Context) error {
		run := func(dryRun bool) func() error {
			return func() (err error) {
				sum, err = change(ctx, cutover.Options{DryRun: dryRun, NoMembers: v.NoMembers, Watch: v.Watch, Step: out.writeStep, Before: out.hooks.beforeStep})
				return err
			}
		}
		return out.hooks.changeOwner(ctx, run(true), run(v.DryRun))
	})
	if err != nil {
		if out.json && sum.Entity != "" {
			out.writeFinding(sum, "")
		}
		return err
	}
	return out.writeResult(sum, showSwitch(sum))
}

type statusVerb struct{}

// Run shows everything of one entity, or a table of several.
func (statusVerb) Run(ctx context.Context, all []*migrate.Engine, out *output) error {
	states := make([]migrate.Status, len(all))
	failed := out.forEach(ctx, all, func(i int, e *migrate.Engine) (err error) {
		states[i], err = e.Status(ctx)
		return err
	})
	var shown error
	switch {
	case out.json:
		for _, st := range states {
			if st.Entity != "" {
				out.writeFinding(st, "")
			}
		}
	case out.several:
		shown = out.writeResult(nil, showTable(states, all, time.Now()))
	case failed == nil:
		shown = out.writeResult(nil, showStatus(states[0]))
	}
	if failed == nil && shown == nil && slices.ContainsFunc(states, differs) {
		return shownError{errors.New("the stores differ, or the copy has ended")}
	}
	return errors.Join(shown, failed)
}

// differs reports whether the stores are known to differ, or may: the copy does not count.
func differs(s migrate.Status) bool {
	return s.Ended != "" || s.Verification != nil && s.Verification.Mismatches > 0
}

type historyVerb struct{}

// Run shows the changes.
func (historyVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	all, err := e.History(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		out.writeFinding(c, showHistory(c))
	}
	if len(all) == 0 && !out.json {
		return out.writeResult(nil, "Nothing has changed yet.")
	}
	return nil
}

type pauseVerb struct{}

// Run pauses.
func (pauseVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if err := e.Pause(ctx); err != nil {
		return err
	}
	return out.writeResult(map[string]bool{"paused": true}, "Copying pauses within a second.")
}

type resumeVerb struct{}

// Run resumes.
func (resumeVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if err := e.Resume(ctx); err != nil {
		return err
	}
	return out.writeResult(map[string]bool{"paused": false}, "Copying resumes within a second.")
}

type throttleVerb struct {
	PerSecond int            `arg:"" help:"Documents a second for each process; 0 removes the limit."`
	MaxLag    *time.Duration `help:"Copying waits while the majority of MongoDB's servers is behind by more: 10s unless set; 0s is that again, -1s no limit." placeholder:"DURATION"`
	MaxQueue  *int           `help:"The same while more operations wait in MongoDB's primary, where the user may see that: 20 unless set; 0 is that again, -1 no limit." placeholder:"NUMBER"`
}

// Validate refuses a negative rate.
func (v throttleVerb) Validate() error { return refuseNegative(v.PerSecond < 0) }

// Run throttles.
func (v throttleVerb) Run(ctx context.Context, e *migrate.Engine, out *output) error {
	if err := e.SetThrottle(ctx, migrate.Throttle(v)); err != nil {
		return err
	}
	return out.writeResult(map[string]int{"documentsPerSecond": v.PerSecond},
		fmt.Sprintf("Within a second, each process copies at most %d documents a second (0: unlimited).", v.PerSecond))
}
