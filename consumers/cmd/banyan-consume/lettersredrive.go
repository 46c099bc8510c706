package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

type lettersRedriveCommand struct {
	tableFlags
	asJSON
	queueFlag
	Consumer string `arg:"" optional:"" help:"Name of the consumer."`
	selection
	Function string  `help:"Function that handles them, with its alias, such as prod-orders:live; {consumer} stands for the consumer's name. With --queue by default the one that gave up." default:"{consumer}" env:"BANYAN_CONSUME_FUNCTION"`
	Rate     float64 `help:"Most letters, or batches of the queue, a second." default:"10" env:"BANYAN_CONSUME_RATE"`
	DryRun   bool    `help:"Only say which letters would be redriven."`
}

// Validate is called by kong.
func (c *lettersRedriveCommand) Validate() error {
	if c.Rate <= 0 {
		return fmt.Errorf("--rate must be more than 0, not %v", c.Rate)
	}
	return errors.Join(c.selection.validate(), c.queueFlag.validate(c.Consumer, c.filterFlags))
}

// Run redrives letters, one after the other.
func (c *lettersRedriveCommand) Run(ctx context.Context, parsed *kong.Context) error {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return err
	}
	r := &redriving{
		client: lambda.NewFromConfig(sdk), function: strings.ReplaceAll(c.Function, "{consumer}", c.Consumer),
		limit: rate.NewLimiter(rate.Limit(c.Rate), 1), stderr: parsed.Stderr, progress: rate.Sometimes{Interval: progressEvery},
		Errors: []redriveFailed{}, DryRun: c.DryRun,
	}
	if c.Queue != "" {
		err = c.redriveQueue(ctx, sdk, r)
	} else {
		err = c.redriveLetters(ctx, deadletter.New(dynamodb.NewFromConfig(sdk), c.Table), r)
	}
	r.Stopped = ctx.Err() != nil
	if err == nil || r.Stopped {
		err = r.exit()
	}
	return errors.Join(r.report(parsed.Stdout, c.JSON), err)
}

func (c *lettersRedriveCommand) redriveLetters(ctx context.Context, store *deadletter.Store, r *redriving) error {
	return c.each(ctx, store, c.Table, c.Consumer, false, func(id deadletter.ID) error {
		if c.DryRun {
			r.Selected++
			_, err := fmt.Fprintf(r.stderr, "would redrive %s through %s\n", printable(id.String()), r.function)
			return err
		}
		return r.redrive(ctx, id)
	})
}

// progressEvery is how often progress is printed.
const progressEvery = 2 * time.Second

// mostErrors is how many failures the report has; all are printed when they happen.
const mostErrors = 100

// redriving is a run of redrive, and its report.
type redriving struct {
	client   *lambda.Client
	function string
	limit    *rate.Limiter
	stderr   io.Writer
	progress rate.Sometimes

	// What is counted is letters, or batches of the queue.
	Selected int             `json:"selected"`
	Redriven int             `json:"redriven"`
	Failed   int             `json:"failed"`
	Errors   []redriveFailed `json:"errors"`
	DryRun   bool            `json:"dry_run"`
	Stopped  bool            `json:"stopped"`
}

// redriveFailed is a letter, or a batch from one position to the last, that still fails.
type redriveFailed struct {
	Stream   string `json:"stream,omitempty"`
	Shard    string `json:"shard,omitempty"`
	Position string `json:"position"`
	Last     string `json:"last,omitempty"`
	Error    string `json:"error"`
}

// redrive fails where another letter would, too: there is no such function, or no right to
// invoke it.
func (r *redriving) redrive(ctx context.Context, id deadletter.ID) error {
	if err := r.limit.Wait(ctx); err != nil {
		return err
	}
	r.Selected++
	payload, err := json.Marshal(map[string]deadletter.Request{"redrive": {Position: id.Position.String(), Stream: id.Stream}})
	if err != nil {
		return err
	}
	answer, err := invoke(ctx, r.client, r.function, payload)
	if err == nil {
		err = checkRedriven(answer)
	}
	switch {
	case err == nil:
		r.Redriven++
	case errors.Is(err, errFunction):
		r.fail(id.String(), redriveFailed{Stream: id.Stream, Position: id.Position.String(), Error: err.Error()})
	default:
		return err
	}
	r.progress.Do(func() { fmt.Fprintf(r.stderr, "redriven %d, failed %d, at %s\n", r.Redriven, r.Failed, id.Position) })
	return nil
}

// checkRedriven returns the reason where the function did not handle the one letter.
func checkRedriven(answer []byte) error {
	var result deadletter.Result
	err := json.Unmarshal(answer, &result)
	switch {
	case err != nil || result.Redriven+result.Failed == 0:
		return fmt.Errorf("%w: it answered %.200q, which is no answer to a redrive: is it the function of a consumer?", errFunction, answer)
	case result.Failed > 0:
		return fmt.Errorf("%w: %s", errFunction, strings.Join(result.Errors, "; "))
	}
	return nil
}

func (r *redriving) fail(what string, f redriveFailed) {
	r.Failed++
	if len(r.Errors) < mostErrors {
		r.Errors = append(r.Errors, f)
	}
	fmt.Fprintf(r.stderr, "%s: %s\n", printable(what), printable(strings.ReplaceAll(f.Error, "\n", "; ")))
}

func (r *redriving) report(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	text := fmt.Sprintf("%d redriven, %d failed", r.Redriven, r.Failed)
	if r.DryRun {
		text = fmt.Sprintf("%d would be redriven", r.Selected)
	}
	if r.Stopped {
		text += "; stopped: run it again to go on"
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// exit is nil, or the exit code of what was reported.
func (r *redriving) exit() error {
	switch {
	case r.Failed > 0:
		return &serving.ExitError{Code: exitFailed}
	case r.Stopped:
		return &serving.ExitError{Code: exitStopped}
	}
	return nil
}
