package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// Exit codes besides those of serving.
const (
	exitRefused = 3
	exitUndone  = 4
	exitFound   = 5
	exitStopped = 6
	exitEnded   = 7
)

var exits = []serving.Exit{
	{Code: serving.ExitFailure, Meaning: "it failed, perhaps halfway: run the verb again, which finishes or undoes what was begun"},
	{Code: exitRefused, Meaning: "refused: a precondition is not met; no owner, name or phase was changed"},
	{Code: exitUndone, Meaning: "undone: it was begun, failed, and all is as it was before"},
	{Code: exitFound, Meaning: "done, and something was found: what stops the plan, mismatches (of status too), others who use the collection"},
	{Code: exitStopped, Meaning: "stopped before the end, by a signal or the panic file; run it again to go on"},
	{Code: exitEnded, Meaning: "the copy no longer counts, since changes were missed or the collection was replaced: run --from-start"},
}

// codes name the exit codes in JSON.
var codes = map[int]string{serving.ExitFailure: "failed", serving.ExitUsage: "usage", exitRefused: "refused", exitUndone: "undone",
	exitFound: "found", exitStopped: "stopped", exitEnded: "ended"}

// errInterrupted: the process was told to stop.
var errInterrupted = errors.New("interrupted; run the command again to resume")

// refusals are the errors of verbs that have changed nothing.
var refusals = []error{
	cutover.ErrRefused, migrate.ErrRefused, migrate.ErrNotEncapsulated, migrate.ErrNotSwitched, binding.ErrDiffers, target.ErrReplaced,
	errNotStarted, source.ErrNothingToMove, ownership.ErrNoTable, fence.ErrSwitched, fence.ErrNotDiscardable, fence.ErrNoMember, verify.ErrNotCopied,
}

// exitCode is the exit code of an error of a verb that ran until ctx ended.
func exitCode(ctx context.Context, err error) int {
	is := func(target error) bool { return errors.Is(err, target) }
	_, shown := errors.AsType[shownError](err)
	several, isSeveral := errors.AsType[entityErrors](err)
	switch {
	case err == nil:
		return 0
	case isSeveral:
		return several.exitCode(ctx)
	case shown:
		return exitFound
	case is(cutover.ErrStuck): // whatever the reason
		return serving.ExitFailure
	case is(serving.ErrUsage), is(awssdk.ErrNoRegion), is(plan.ErrInvalid):
		return serving.ExitUsage
	case is(cutover.ErrUndone): // whatever the reason
		return exitUndone
	case is(errInterrupted), is(errPanicFile), is(context.Canceled) && ctx.Err() != nil:
		return exitStopped
	case is(control.ErrEnded), is(changes.ErrHistoryLost), is(changes.ErrReplaced):
		return exitEnded
	case slices.ContainsFunc(refusals, is):
		return exitRefused
	}
	return serving.ExitFailure
}

// failure is an error in JSON, of all or of one of several entities.
type failure struct {
	Entity  string `json:"entity,omitempty"`
	Code    string `json:"code"`
	Exit    int    `json:"exit"`
	Message string `json:"message"`
}

// exit gives an error its exit code, and writes it as the last object where all is JSON. What
// was shown already is not written again.
func (o *output) exit(err error, code int) error {
	if err == nil {
		return nil
	}
	switch {
	case code == exitFound:
		return &serving.ExitError{Code: exitFound}
	case code == exitStopped && !errors.Is(err, errPanicFile): // what was interrupted says less
		err = errInterrupted
	}
	if o.json {
		_ = json.NewEncoder(o.stdout).Encode(map[string]failure{"error": {"", codes[code], code, err.Error()}}) // it ends anyway
	}
	return &serving.ExitError{Code: code, Err: err}
}

// writeFailure writes why one of several entities failed.
func (o *output) writeFailure(entity string, err error, code int) {
	if !o.json {
		o.writeWarning(entityErrors{{entity, err}}.Error())
		return
	}
	o.writeFinding(map[string]failure{"error": {entity, codes[code], code, err.Error()}}, "")
}
