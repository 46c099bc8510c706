package subscribe

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Report is what became of one invocation.
type Report struct {
	Seen       int      `json:"seen"`       // groups looked at
	Subscribed int      `json:"subscribed"` // filters put, or in a dry run missing
	Retained   int      `json:"retained"`   // retentions set, or in a dry run missing
	Full       []string `json:"full,omitempty"`
	Failures   int      `json:"failures"`
	Errors     []string `json:"errors,omitempty"` // the first few
	Stopped    string   `json:"stopped"`
	Remaining  int      `json:"remaining"` // groups left for the next time
	DryRun     bool     `json:"dryRun"`
	fulls      int
}

// maxNamed bounds what a report names.
const maxNamed = 10

func (r *Report) fail(err error) {
	r.Failures++
	if len(r.Errors) < maxNamed {
		r.Errors = append(r.Errors, err.Error())
	}
}

// full notes a group that has as many filters of others as it may have.
func (r *Report) full(name string) {
	r.fulls++
	if len(r.Full) < maxNamed {
		r.Full = append(r.Full, name)
	}
}

// Handler is the function: it subscribes the group of an event about a
// new one, and sweeps all groups at any other event.
func Handler(s *Subscriber, logger *slog.Logger, metrics *emf.Writer) func(context.Context, json.RawMessage) (Report, error) {
	return func(ctx context.Context, event json.RawMessage) (r Report, err error) {
		name, told, err := created(event)
		switch {
		case err != nil:
			logger.ErrorContext(ctx, "event of a new log group without its name", "error", err)
			return Report{Stopped: sweep.Failed}, nil // another attempt would not help
		case told && name == "":
			return Report{Stopped: sweep.Done}, nil // a creation that failed
		case told:
			r, err = s.One(ctx, name)
		default:
			r = s.BackFill(ctx)
		}
		r.log(ctx, logger)
		r.count(metrics, s.cfg.Function, s.cfg.Now())
		return r, err
	}
}

func (r Report) log(ctx context.Context, logger *slog.Logger) {
	level := slog.LevelInfo
	if r.Failures > 0 || r.fulls > 0 {
		level = slog.LevelWarn
	}
	logger.Log(ctx, level, "log groups looked at", "seen", r.Seen, "subscribed", r.Subscribed, "retained", r.Retained,
		"full", r.Full, "failures", r.Failures, "errors", r.Errors, "stopped", r.Stopped, "remaining", r.Remaining, "dryRun", r.DryRun)
}
