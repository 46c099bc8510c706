package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// events are the flags by which an operator's programs and files take part in a verb.
type events struct {
	Hooks        string        `help:"A directory of executables that are run at events: before-VERB, step-STEP, phase-PHASE, mismatch, after-VERB, failed-VERB." env:"BANYAN_HOOKS" placeholder:"DIR"`
	HookTimeout  time.Duration `help:"How long one of them may take." default:"30s" env:"BANYAN_HOOK_TIMEOUT" placeholder:"DURATION"`
	PanicFile    string        `help:"While this file exists nothing starts, and what runs stops: what can be undone is, run resumes later." env:"BANYAN_PANIC_FILE" placeholder:"FILE"`
	PostponeFile string        `help:"While this file exists a change of owner waits before it begins." env:"BANYAN_POSTPONE_FILE" placeholder:"FILE"`
}

var (
	// errNotStarted: nothing was done at all.
	errNotStarted = errors.New("not started")
	// errPanicFile: the verb was stopped.
	errPanicFile = errors.New("stopped by the panic file")
	// errPostponed: the file appeared while a change of owner was about to begin.
	errPostponed = errors.New("the postpone file exists")
)

// filePoll is how often a file is looked for.
const filePoll = 200 * time.Millisecond

// passed are the variables that hooks see of the process's own: none of them is secret.
var passed = []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"}

// hooks runs executables at the events of one verb.
type hooks struct {
	events
	out    *output
	verb   string
	entity string // those of several with commas between
	dryRun bool
	queue  chan occurrence

	mu   sync.Mutex
	last map[string]string // phase of each entity, and verification that found mismatches
}

// occurrence is an event of an entity, and a variable that its hook sees.
type occurrence struct{ entity, event, env string }

// newHooks makes those of the verb of a command line.
func newHooks(s *settings, out *output, parsed *kong.Context) *hooks {
	h := &hooks{events: s.events, out: out, verb: parsed.Selected().Name, last: map[string]string{}}
	for _, f := range parsed.Selected().Flags {
		if dry, ok := parsed.FlagValue(f).(bool); ok && f.Name == "dry-run" {
			h.dryRun = dry
		}
	}
	if h.Hooks == "" {
		return h
	}
	if plans, err := s.plans(""); err == nil { // else the verb says why, if it needs one
		for _, p := range plans {
			h.entity += "," + p.Entity
		}
		h.entity = h.entity[1:]
	}
	return h
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return file != "" && !errors.Is(err, fs.ErrNotExist)
}

// around runs a verb between its hooks, until the panic file exists.
func (h *hooks) around(ctx context.Context, verb func(context.Context) error) error {
	switch {
	case exists(h.PanicFile):
		return fmt.Errorf("%w: the panic file %s exists: remove it first", errNotStarted, h.PanicFile)
	case h.Hooks != "" && !exists(h.Hooks):
		return fmt.Errorf("%w: the directory of hooks %s does not exist: see --hooks", serving.ErrUsage, h.Hooks)
	}
	if err := h.run(ctx, "before-"+h.verb); err != nil {
		return fmt.Errorf("%w: %w", errNotStarted, err)
	}
	watched, cancel := context.WithCancelCause(ctx)
	var queued, watch sync.WaitGroup
	h.queue = make(chan occurrence, 16)
	queued.Go(func() {
		for o := range h.queue {
			h.warn(h.run(watched, o.event, "BANYAN_ENTITY="+o.entity, o.env))
		}
	})
	watch.Go(func() { h.watchPanicFile(watched, cancel) })
	err := verb(watched)
	close(h.queue)
	queued.Wait()
	if cause := context.Cause(watched); err != nil && errors.Is(cause, errPanicFile) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	cancel(nil)
	watch.Wait()
	return err
}

// ended runs the last hook of a verb that ended with err and an exit code.
func (h *hooks) ended(ctx context.Context, err error, code int) {
	ctx = context.WithoutCancel(ctx)
	switch {
	case errors.Is(err, errNotStarted):
	case err == nil:
		h.warn(h.run(ctx, "after-"+h.verb))
	default:
		h.warn(h.run(ctx, "failed-"+h.verb, "BANYAN_ERROR="+err.Error(), fmt.Sprintf("BANYAN_EXIT=%d", code)))
	}
}

// watchPanicFile ends the verb when the panic file appears.
func (h *hooks) watchPanicFile(ctx context.Context, cancel context.CancelCauseFunc) {
	for h.PanicFile != "" && backoff.Sleep(ctx, filePoll) == nil {
		if exists(h.PanicFile) {
			cancel(fmt.Errorf("%w: %s", errPanicFile, h.PanicFile))
			return
		}
	}
}

// observe has the hooks run of what is new in the state of an entity.
func (h *hooks) observe(entity string, phase ownership.Phase, last *control.Verification) {
	h.enqueue("phase "+entity, string(phase), occurrence{entity, "phase-" + string(phase), "BANYAN_PHASE=" + string(phase)})
	if last != nil && last.Mismatches > 0 {
		h.enqueue("verification "+entity, last.ID, occurrence{entity, "mismatch", fmt.Sprintf("BANYAN_MISMATCHES=%d", last.Mismatches)})
	}
}

// enqueue has the hook of an event run, once for each value that is seen.
func (h *hooks) enqueue(of, value string, o occurrence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last[of] == value {
		return
	}
	select {
	case h.queue <- o:
		h.last[of] = value
	default: // a hook takes long: with the next progress
	}
}

// changeOwner changes the owner, and waits before it begins while the postpone file exists.
// What would refuse it is told before that.
func (h *hooks) changeOwner(ctx context.Context, rehearse, change func() error) error {
	for {
		if exists(h.PostponeFile) {
			if err := rehearse(); err != nil {
				return err
			}
			h.out.writeStep("postponed while " + h.PostponeFile + " exists")
		}
		for exists(h.PostponeFile) {
			if err := backoff.Sleep(ctx, filePoll); err != nil {
				return err
			}
		}
		if err := change(); !errors.Is(err, errPostponed) {
			return err
		}
	}
}

// beforeStep is cutover.Options.Before. Until something was announced a failure refuses, and
// then it undoes; between the switch and the release, while writes wait, no hook is run.
func (h *hooks) beforeStep(ctx context.Context, step string) error {
	var err error
	switch {
	case step == cutover.StepRelease:
		return nil
	case step == cutover.StepAnnounce && exists(h.PostponeFile):
		err = errPostponed
	default:
		err = h.run(ctx, "step-"+step, "BANYAN_STEP="+step)
	}
	if err != nil && (step == cutover.StepPreTail || step == cutover.StepAnnounce) {
		return fmt.Errorf("%w: %w", cutover.ErrRefused, err)
	}
	return err
}

// run runs the executable of an event, if there is one, and waits for it.
func (h *hooks) run(ctx context.Context, event string, env ...string) error {
	path := filepath.Join(h.Hooks, event)
	if h.Hooks == "" || h.dryRun || !exists(path) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, h.HookTimeout, fmt.Errorf("it took longer than %s, see --hook-timeout", h.HookTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = append([]string{"BANYAN_EVENT=" + event, "BANYAN_VERB=" + h.verb, "BANYAN_ENTITY=" + h.entity}, env...)
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	said := &bounded{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, time.Second
	err := cmd.Run()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := strings.TrimSpace(said.String())
	if err != nil {
		return fmt.Errorf("the hook %s failed: %w: %s", path, err, text)
	}
	if text != "" {
		h.out.writeWarning(event + ": " + text)
	}
	return nil
}

func (h *hooks) warn(err error) {
	if err != nil {
		h.out.writeWarning("warning: " + err.Error())
	}
}

// bounded keeps the first few kilobytes of what a hook says.
type bounded struct{ bytes.Buffer }

// Write takes all, and keeps what has room.
func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, 4096-b.Len()))])
	return len(p), nil
}
