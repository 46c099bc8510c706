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
	cfg             Config
	api             API
	pace            *rate.Limiter
	mutex           chan struct{} // held by the sweep
	real, rehearsal place         // a dry run takes nothing from the sweeps that delete
}

// place is how far the sweeps have come.
type place struct {
	todo  []item   // what is left of this round
	round int      // rounds begun
	list  listing  // of the next round
	use   layerUse // of this round
}

// item is one thing to sweep.
type item struct {
	layer bool
	name  string
	after int64 // the versions up to it were looked at in this round
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
	s := &sweep{Janitor: j, place: &j.real, dryRun: dryRun || j.cfg.DryRun}
	if s.dryRun {
		s.place = &j.rehearsal
	}
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
	s.report.Remaining = len(s.todo)
	return s.report
}

// sweep is one invocation's work.
type sweep struct {
	*Janitor
	*place
	dryRun bool
	soft   context.Context // ends when nothing more is to be begun
	end    context.CancelFunc
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
		next := &s.todo[0]
		err := s.item(ctx, next)
		if stops(err) {
			return err
		}
		s.report.Looked++
		if err != nil {
			s.report.fail(fmt.Errorf("%s: %w", next.name, err))
			if s.report.Failures >= s.cfg.MaxFailures {
				s.todo = append(s.todo[1:], *next)
				return errTooMany
			}
		}
		s.todo = s.todo[1:]
	}
	return nil
}

func (s *sweep) item(ctx context.Context, i *item) error {
	if i.layer {
		return gone(s.layer(ctx, i))
	}
	return gone(s.function(ctx, i))
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

// begin lists what there is. A listing that is cut short goes on the next time,
// one that failed begins anew, as a marker may be what is wrong.
func (s *sweep) begin(ctx context.Context) error {
	if err := s.pages(ctx, &s.list); err != nil {
		if !stops(err) {
			s.list = listing{}
		}
		return err
	}
	s.todo = s.list.items
	s.list, s.use = listing{}, layerUse{}
	if n := len(s.todo); s.round == 0 && n > 0 {
		at := s.cfg.Intn(n)
		s.todo = slices.Concat(s.todo[at:], s.todo[:at])
	}
	s.round++
	return nil
}

func (s *sweep) pages(ctx context.Context, l *listing) error {
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
