package janitor

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"os"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Handler is the function: it sweeps at each event and never fails, as its
// caller would only try again. The event may be {"dryRun":true}; all else in it
// is ignored. Metrics are counted under the name that Lambda knows the function
// by, as alarms do: it is read here, once.
func Handler(j *Janitor, logger *slog.Logger, metrics *emf.Writer) func(context.Context, json.RawMessage) (Report, error) {
	name := cmp.Or(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), "janitor")
	return func(ctx context.Context, event json.RawMessage) (Report, error) {
		var in struct {
			DryRun bool `json:"dryRun"`
		}
		if err := json.Unmarshal(event, &in); err != nil {
			logger.WarnContext(ctx, "the event is not an object; nothing is deleted", "reason", err.Error())
			in.DryRun = true // it may have asked for that
		}
		r := j.Sweep(ctx, in.DryRun)
		r.Log(ctx, logger)
		r.Count(metrics, name, j.cfg.Now())
		return r, nil
	}
}
