package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// Functions is what the janitor needs for functions. A
// *lambda.Client is one; give it [Options].
type Functions interface {
	ListFunctions(context.Context, *lambda.ListFunctionsInput, ...func(*lambda.Options)) (*lambda.ListFunctionsOutput, error)
	ListVersionsByFunction(context.Context, *lambda.ListVersionsByFunctionInput, ...func(*lambda.Options)) (*lambda.ListVersionsByFunctionOutput, error)
	DeleteFunction(context.Context, *lambda.DeleteFunctionInput, ...func(*lambda.Options)) (*lambda.DeleteFunctionOutput, error)
}

// References lists what refers to versions of functions.
type References interface {
	ListAliases(context.Context, *lambda.ListAliasesInput, ...func(*lambda.Options)) (*lambda.ListAliasesOutput, error)
	ListEventSourceMappings(context.Context, *lambda.ListEventSourceMappingsInput, ...func(*lambda.Options)) (*lambda.ListEventSourceMappingsOutput, error)
	ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput,
		...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error)
}

// Aliases is what the janitor needs to delete aliases.
type Aliases interface {
	GetAlias(context.Context, *lambda.GetAliasInput, ...func(*lambda.Options)) (*lambda.GetAliasOutput, error)
	DeleteAlias(context.Context, *lambda.DeleteAliasInput, ...func(*lambda.Options)) (*lambda.DeleteAliasOutput, error)
}

// Layers is what the janitor needs for layers.
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
	Aliases
	Layers
}

// Janitor keeps its place between sweeps. It is safe for concurrent use, one
// sweepRound at a time.
type Janitor struct {
	cfg             Config
	api             API
	sweeper         *sweep.Sweeper
	real, rehearsal place // a dry run does not change the place of the sweeps that delete
}

// place is how far the sweeps have come.
type place struct {
	round sweep.Round[item]
	list  listing  // of the next round
	use   layerUse // of this round
}

// item is one thing to sweep.
type item struct {
	layer bool
	name  string
	after int64 // the versions up to it were looked at in this round
}

// New makes a janitor. The error is Config.Validate's, or that Traffic is missing.
func New(api API, cfg Config) (*Janitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.AliasAge > 0 && cfg.Traffic == nil {
		return nil, errors.New("janitor: Traffic is missing: with AliasAge, give a client of CloudWatch")
	}
	cfg.AliasKeep = cmp.Or(cfg.AliasKeep, defaultAliasKeep)
	if cfg.AliasExcept == nil {
		cfg.AliasExcept = []string{defaultAlias}
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
	return &Janitor{cfg: cfg, api: api, sweeper: sweep.New(cfg.Rate, cfg.Reserve)}, nil
}

// Sweep resumes where the last one ended, until the round is complete or it has to
// stop; Report.Stopped has the reason. It ends before the deadline of ctx by
// Config.Reserve. Failures are in the report: an error would only make the scheduler
// retry.
func (j *Janitor) Sweep(ctx context.Context, dryRun bool) Report {
	run, err := j.sweeper.Begin(ctx)
	if err != nil {
		return Report{Stopped: sweep.Deadline}
	}
	defer run.End()
	w := &work{Janitor: j, Run: run, place: &j.real, dryRun: dryRun || j.cfg.DryRun}
	if w.dryRun {
		w.place = &j.rehearsal
	}
	w.report.DryRun = w.dryRun
	err = w.sweepRound(run.Requests())
	w.report.Stopped = sweep.Reason(err)
	if w.report.Stopped == sweep.Failed {
		w.report.addFailure(err)
	}
	w.report.Remaining = w.round.Remaining()
	return w.report
}

// work is that of one invocation.
type work struct {
	*Janitor
	*sweep.Run
	*place
	dryRun bool
	report Report
}

// sweepRound visits items until none is left or an error stops it.
func (w *work) sweepRound(ctx context.Context) error {
	if w.round.Remaining() == 0 {
		if err := w.beginRound(ctx); err != nil {
			return err
		}
	}
	return w.round.Each(func(i *item) error {
		err := w.sweepItem(ctx, i)
		if !sweep.Stops(err) {
			w.report.Looked++
		}
		return err
	}, func(i item, err error) (tooMany bool) {
		w.report.addFailure(fmt.Errorf("%s: %w", i.name, err))
		return w.report.Failures >= w.cfg.MaxFailures
	})
}

func (w *work) sweepItem(ctx context.Context, i *item) error {
	if i.layer {
		return ignoreNotFound(w.sweepLayer(ctx, i))
	}
	return ignoreNotFound(w.sweepFunction(ctx, i))
}

// listing is the list of the next round as far as it is known.
type listing struct {
	items             []item
	functions, layers *string // where to go on
	functionsDone     bool
}

// beginRound lists all functions and layers. A listing that is cut short resumes the
// next time; one that failed restarts, since its marker may be invalid.
func (w *work) beginRound(ctx context.Context) error {
	if err := w.listAll(ctx, &w.list); err != nil {
		if !sweep.Stops(err) {
			w.list = listing{}
		}
		return err
	}
	w.round.Begin(w.list.items, w.cfg.Intn)
	w.list, w.use = listing{}, layerUse{}
	return nil
}

func (w *work) listAll(ctx context.Context, l *listing) error {
	for !l.functionsDone {
		if err := w.listFunctionsPage(ctx, l); err != nil {
			return fmt.Errorf("list the functions: %w", err)
		}
	}
	for more := true; more; {
		var err error
		if more, err = w.listLayersPage(ctx, l); err != nil {
			return fmt.Errorf("list the layers: %w", err)
		}
	}
	return nil
}

func (w *work) listFunctionsPage(ctx context.Context, l *listing) error {
	if err := w.AwaitRequest(); err != nil {
		return err
	}
	page, err := w.api.ListFunctions(ctx, &lambda.ListFunctionsInput{Marker: l.functions})
	if err != nil {
		return err
	}
	for _, f := range page.Functions {
		l.add(w.cfg, item{name: *f.FunctionName})
	}
	l.functions = page.NextMarker
	l.functionsDone = page.NextMarker == nil
	return nil
}

func (w *work) listLayersPage(ctx context.Context, l *listing) (more bool, err error) {
	if err := w.AwaitRequest(); err != nil {
		return true, err
	}
	page, err := w.api.ListLayers(ctx, &lambda.ListLayersInput{Marker: l.layers})
	if err != nil {
		return true, err
	}
	for _, layer := range page.Layers {
		l.add(w.cfg, item{layer: true, name: *layer.LayerName})
	}
	l.layers = page.NextMarker
	return page.NextMarker != nil, nil
}

func (l *listing) add(cfg Config, i item) {
	if !cfg.isExcepted(i.name) {
		l.items = append(l.items, i)
	}
}
