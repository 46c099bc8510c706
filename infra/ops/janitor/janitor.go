package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/ops/function"
)

// Functions is what is asked about functions, and done to them. A
// *lambda.Client is one; give it [Options].
type Functions interface {
	ListFunctions(context.Context, *lambda.ListFunctionsInput, ...func(*lambda.Options)) (*lambda.ListFunctionsOutput, error)
	ListVersionsByFunction(context.Context, *lambda.ListVersionsByFunctionInput, ...func(*lambda.Options)) (*lambda.ListVersionsByFunctionOutput, error)
	DeleteFunction(context.Context, *lambda.DeleteFunctionInput, ...func(*lambda.Options)) (*lambda.DeleteFunctionOutput, error)
}

// References is where versions of functions are referred to.
type References interface {
	ListAliases(context.Context, *lambda.ListAliasesInput, ...func(*lambda.Options)) (*lambda.ListAliasesOutput, error)
	ListEventSourceMappings(context.Context, *lambda.ListEventSourceMappingsInput, ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error)
	ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput, ...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error)
}

// Layers is what is asked about layers, and done to them.
type Layers interface {
	ListLayers(context.Context, *lambda.ListLayersInput, ...func(*lambda.Options)) (*lambda.ListLayersOutput, error)
	ListLayerVersions(context.Context, *lambda.ListLayerVersionsInput, ...func(*lambda.Options)) (*lambda.ListLayerVersionsOutput, error)
	GetLayerVersion(context.Context, *lambda.GetLayerVersionInput, ...func(*lambda.Options)) (*lambda.GetLayerVersionOutput, error)
	GetLayerVersionPolicy(context.Context, *lambda.GetLayerVersionPolicyInput, ...func(*lambda.Options)) (*lambda.GetLayerVersionPolicyOutput, error)
	DeleteLayerVersion(context.Context, *lambda.DeleteLayerVersionInput, ...func(*lambda.Options)) (*lambda.DeleteLayerVersionOutput, error)
}

// API is all that a janitor needs of Lambda.
type API interface {
	Functions
	References
	Layers
}

// Janitor keeps its place between sweeps. It is safe for concurrent use, one
// sweep at a time.
type Janitor struct {
	cfg   Config
	api   API
	pace  *rate.Limiter
	mutex chan struct{} // held by the sweep
	todo  []item        // what is left of this round
	round int           // rounds begun
	list  listing       // of the next round
}

// item is one thing to sweep.
type item struct {
	layer bool
	name  string
}

// New makes a janitor. The error is Config.Validate's.
func New(api API, cfg Config) (*Janitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Keep = max(0, cmp.Or(cfg.Keep, defaultKeep))
	cfg.Grace = cmp.Or(cfg.Grace, defaultGrace)
	cfg.Rate = cmp.Or(cfg.Rate, defaultRate)
	cfg.Reserve = cmp.Or(cfg.Reserve, defaultReserve)
	cfg.MaxFailures = cmp.Or(cfg.MaxFailures, defaultMaxFailures)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Intn == nil {
		cfg.Intn = rand.IntN
	}
	return &Janitor{cfg: cfg, api: api, pace: rate.NewLimiter(rate.Limit(cfg.Rate), 1), mutex: make(chan struct{}, 1)}, nil
}

// Sweep goes on where the last one ended, until the round is through or it has
// to stop; Report.Stopped says why. It ends before the deadline of ctx by
// Config.Reserve. What goes wrong is in the report: an error would only make the
// scheduler try again.
func (j *Janitor) Sweep(ctx context.Context, dryRun bool) Report {
	select {
	case j.mutex <- struct{}{}:
		defer func() { <-j.mutex }()
	case <-ctx.Done():
		return Report{Stopped: Deadline}
	}
	s := &sweep{Janitor: j, dryRun: dryRun || j.cfg.DryRun}
	s.report.DryRun = s.dryRun
	s.soft, s.end = ctx, func() {}
	if deadline, ok := ctx.Deadline(); ok {
		s.soft, s.end = context.WithDeadline(ctx, deadline.Add(-j.cfg.Reserve))
	}
	defer s.end()
	err := s.run(ctx)
	s.report.Stopped = reason(err)
	if s.report.Stopped == Failed {
		s.report.fail(err)
	}
	s.report.Remaining = len(j.todo)
	return s.report
}

// sweep is one invocation's work.
type sweep struct {
	*Janitor
	dryRun bool
	soft   context.Context // ends when nothing more is to be begun
	end    context.CancelFunc
	inUse  map[string]bool // layer versions, once they are known
	report Report
}

// run sweeps until the list is empty or an error says to stop.
func (s *sweep) run(ctx context.Context) error {
	if len(s.todo) == 0 {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	for len(s.todo) > 0 {
		next := s.todo[0]
		if err := s.item(ctx, next); err != nil {
			if stops(err) {
				return err
			}
			s.report.fail(fmt.Errorf("%s: %w", next.name, err))
			if s.report.Failures >= s.cfg.MaxFailures {
				s.todo = append(s.todo[1:], next)
				return errTooMany
			}
		}
		s.todo = s.todo[1:]
	}
	return nil
}

func (s *sweep) item(ctx context.Context, i item) error {
	if i.layer {
		return s.layer(ctx, i.name)
	}
	return s.function(ctx, i.name)
}

// turn waits for the next request's turn, and refuses it when time is up.
func (s *sweep) turn() error {
	if err := s.pace.Wait(s.soft); err != nil {
		return errDeadline // also where the turn would come too late
	}
	return nil
}

// Reasons why a sweep ended.
const (
	// Done: everything was looked at.
	Done = "done"
	// Throttled: Lambda wants fewer requests.
	Throttled = "throttled"
	// Deadline: the time of the invocation is up.
	Deadline = "deadline"
	// Failed: too much went wrong, see Report.Errors.
	Failed = "failed"
)

var (
	errDeadline = errors.New("the time is up")
	errTooMany  = errors.New("too many failures in one invocation")
)

// stops says whether an error ends the sweep, and not only one item's.
func stops(err error) bool {
	return errors.Is(err, errDeadline) || function.Throttled(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func reason(err error) string {
	switch {
	case err == nil:
		return Done
	case function.Throttled(err):
		return Throttled
	case stops(err):
		return Deadline
	}
	return Failed
}

// listing is the list of the next round as far as it is known.
type listing struct {
	items             []item
	functions, layers *string // where to go on
	functionsDone     bool
}

// begin lists what there is. A listing that is cut short goes on the next time.
func (s *sweep) begin(ctx context.Context) error {
	l := &s.list
	for !l.functionsDone {
		if err := s.functionsPage(ctx, l); err != nil {
			return fmt.Errorf("list the functions: %w", err)
		}
	}
	for more := true; more; {
		var err error
		if more, err = s.layersPage(ctx, l); err != nil {
			return fmt.Errorf("list the layers: %w", err)
		}
	}
	s.todo = l.items
	s.list = listing{}
	if n := len(s.todo); s.round == 0 && n > 0 {
		at := s.cfg.Intn(n)
		s.todo = slices.Concat(s.todo[at:], s.todo[:at])
	}
	s.round++
	return nil
}

func (s *sweep) functionsPage(ctx context.Context, l *listing) error {
	if err := s.turn(); err != nil {
		return err
	}
	page, err := s.api.ListFunctions(ctx, &lambda.ListFunctionsInput{Marker: l.functions})
	if err != nil {
		return err
	}
	for _, f := range page.Functions {
		l.add(s.cfg, item{name: *f.FunctionName})
	}
	l.functions = page.NextMarker
	l.functionsDone = page.NextMarker == nil
	return nil
}

func (s *sweep) layersPage(ctx context.Context, l *listing) (more bool, err error) {
	if err := s.turn(); err != nil {
		return true, err
	}
	page, err := s.api.ListLayers(ctx, &lambda.ListLayersInput{Marker: l.layers})
	if err != nil {
		return true, err
	}
	for _, layer := range page.Layers {
		l.add(s.cfg, item{layer: true, name: *layer.LayerName})
	}
	l.layers = page.NextMarker
	return page.NextMarker != nil, nil
}

func (l *listing) add(cfg Config, i item) {
	if !cfg.spared(i.name) {
		l.items = append(l.items, i)
	}
}
