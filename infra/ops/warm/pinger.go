package warm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Invoker invokes functions. A *lambda.Client is one; give it [Options].
type Invoker interface {
	Invoke(context.Context, *lambda.InvokeInput, ...func(*lambda.Options)) (*lambda.InvokeOutput, error)
}

// Options are those of the Lambda client of a pinger, which never retries: the
// next schedule makes up for a failed ping.
func Options(o *lambda.Options) { o.Retryer = retry.AddWithMaxAttempts(aws.NopRetryer{}, 1) }

// ErrMisunderstood is returned for a function that did not answer a ping as the wrapper
// does, so it handled it as an event. It gets no more pings.
var ErrMisunderstood = errors.New("the function does not know pings: wrap its handler with warm.Handler, or remove it from WARM_FUNCTIONS")

// Pinger keeps functions warm. It is safe for concurrent use.
type Pinger struct {
	cfg Config
	api Invoker
}

// New makes a pinger. The error is Config.Validate's.
func New(api Invoker, cfg Config) (*Pinger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Hold = cmp.Or(cfg.Hold, defaultHold)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	return &Pinger{cfg: cfg, api: api}, nil
}

// Report is the result for one function.
type Report struct {
	Function string `json:"function"`
	Wanted   int    `json:"wanted"`
	// Environments is how many different ones answered, Cold how many of them
	// had handled nothing before.
	Environments int `json:"environments"`
	Cold         int `json:"cold"`
	// Busy pings were throttled, Failed ones had another error, which is Err.
	Busy   int   `json:"busy,omitempty"`
	Failed int   `json:"failed,omitempty"`
	Err    error `json:"-"`
	// Reason is Err as text, for an invocation by hand.
	Reason string `json:"reason,omitempty"`
}

// Ping pings all functions at once, and returns a report of each in their order.
// It ends within Config.Timeout, or with ctx.
func (p *Pinger) Ping(ctx context.Context) []Report {
	out := make([]Report, len(p.cfg.Targets))
	var wg sync.WaitGroup
	for i, t := range p.cfg.Targets {
		wg.Go(func() { out[i] = p.pingTarget(ctx, t) })
	}
	wg.Wait()
	return out
}

// pingTarget sends one ping to check that the function recognises pings, and then as
// many at once as configured.
func (p *Pinger) pingTarget(ctx context.Context, t Target) Report {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	n := cmp.Or(t.Environments, 1)
	seen := round{environments: map[string]bool{}}
	seen.add(p.pingOnce(ctx, t.Function, 0))
	for hold := p.cfg.Hold; n > 1 && seen.err == nil && hold <= 2*p.cfg.Hold && len(seen.environments)+seen.busy < n; hold *= 2 {
		p.pingConcurrently(ctx, t.Function, n, min(hold, MaxHold), &seen)
	}
	r := Report{
		Function: t.Function, Wanted: n, Environments: len(seen.environments), Cold: seen.cold,
		Busy: seen.busy, Failed: seen.failed, Err: seen.err,
	}
	if r.Err != nil {
		r.Reason = r.Err.Error()
	}
	return r
}

// pingConcurrently sends n pings that overlap.
func (p *Pinger) pingConcurrently(ctx context.Context, function string, n int, hold time.Duration, into *round) {
	answers := make([]answer, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i], errs[i] = p.pingOnce(ctx, function, hold) })
	}
	wg.Wait()
	for i := range n {
		into.add(answers[i], errs[i])
	}
}

// round is what the pings of one function came to.
type round struct {
	environments       map[string]bool
	cold, busy, failed int
	err                error
}

func (r *round) add(a answer, err error) {
	var throttled *types.TooManyRequestsException
	switch {
	case errors.As(err, &throttled):
		r.busy++
	case err != nil:
		r.failed++
		r.err = err
	default:
		if a.Cold {
			r.cold++
		}
		r.environments[a.Environment] = true
	}
}

func (p *Pinger) pingOnce(ctx context.Context, function string, hold time.Duration) (answer, error) {
	payload, err := json.Marshal(map[string]ping{mark: {hold.Milliseconds()}})
	if err != nil {
		return answer{}, err
	}
	out, err := p.api.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: payload})
	if err != nil {
		return answer{}, fmt.Errorf("ping %s: %w", function, err)
	}
	var a answer
	switch {
	case out.FunctionError != nil && isPlatformError(out.Payload):
		return answer{}, fmt.Errorf("ping %s: %w: %.500s", function, errEnded, out.Payload)
	case out.FunctionError != nil || only(out.Payload, &a) != nil || a.Environment == "":
		return answer{}, fmt.Errorf("ping %s: %w", function, ErrMisunderstood)
	}
	return a, nil
}

// errEnded does not show whether the function recognises pings.
var errEnded = errors.New("the function did not reach its handler, or Lambda ended it; see its log")

// isPlatformError reports whether an error is the platform's: the function did not start, or
// ran out of time. Those of handlers have names of their own.
func isPlatformError(payload []byte) bool {
	var shape struct {
		Type string `json:"errorType"`
	}
	_ = json.Unmarshal(payload, &shape) // without a name it is a handler's
	return strings.HasPrefix(shape.Type, "Runtime.") || strings.HasPrefix(shape.Type, "Sandbox.")
}

// Serve is the keep-warm function. It never fails: the next schedule pings again.
func (p *Pinger) Serve(logger *slog.Logger, metrics *emf.Writer) func(context.Context) ([]Report, error) {
	return func(ctx context.Context) ([]Report, error) {
		reports := p.Ping(ctx)
		for _, r := range reports {
			r.log(ctx, logger)
			metrics.Write(r.line(time.Now()))
		}
		return reports, nil
	}
}

func (r Report) log(ctx context.Context, logger *slog.Logger) {
	if r.Err != nil {
		logger.ErrorContext(ctx, "function not kept warm", "function", r.Function, "environments", r.Environments, "wanted", r.Wanted, "reason", r.Reason)
		return
	}
	logger.DebugContext(ctx, "pinged", "function", r.Function, "environments", r.Environments, "wanted", r.Wanted, "cold", r.Cold, "busy", r.Busy)
}

func (r Report) line(at time.Time) emf.Line {
	misunderstood := 0
	if errors.Is(r.Err, ErrMisunderstood) {
		misunderstood = 1
	}
	count := func(name string, n int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Value: float64(n)}
	}
	return emf.Line{
		At: at, Dimensions: map[string]string{"Warmed": r.Function},
		Metrics: []emf.Metric{
			count("Environments", r.Environments), count("Cold", r.Cold), count("Busy", r.Busy),
			count("Failures", r.Failed), count("Misunderstood", misunderstood),
		},
	}
}
