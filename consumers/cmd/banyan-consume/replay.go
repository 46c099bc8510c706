package main

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
)

// sourceFlags say where events are replayed from, and how fast.
type sourceFlags struct {
	Archive string  `help:"Address of the archive: s3://bucket/prefix/stream, or a folder." env:"BANYAN_ARCHIVE"`
	Stream  string  `help:"Name of the stream, for what is not archived yet, or all that it still has." env:"EVENTS_STREAM"`
	Batch   int     `help:"Records that are delivered together, and then noted." default:"1000"`
	Rate    float64 `help:"Events a second; 0 for no limit." default:"0"`
	Retries int     `help:"How often what fails is delivered again before the replay stops; 0 for no limit." default:"20"`
}

// Validate refuses what makes no sense.
func (f sourceFlags) Validate() error {
	if f.Archive == "" && f.Stream == "" {
		return fmt.Errorf("--archive or --stream is required")
	}
	if f.Batch < 1 || f.Batch > 10_000 || f.Rate < 0 || f.Retries < 0 {
		return fmt.Errorf("--batch must be from 1 to 10000, and --rate and --retries must not be negative")
	}
	return nil
}

type replayCommand struct {
	sourceFlags
	rangeFlags
	Function string   `arg:"" help:"Name or ARN of the function, with an alias if it has one."`
	Position string   `help:"Only what is there or behind it: a position, or a sequence number." placeholder:"POSITION"`
	Key      []string `help:"Only events with this partition key. Several may be given." sep:"none"`
	Type     []string `help:"Only events of this type. Several may be given." sep:"none"`
	Progress string   `help:"File that says how far the replay has come: the same command, with times that are no ages, goes on from there." type:"path"`
	DryRun   bool     `help:"Count the events, and invoke nothing."`
}

// Run replays, and prints what was done.
func (c *replayCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	within := c.within()
	var err error
	if within.FromSequence, err = sequenceOf(c.Position); err != nil {
		return err
	}
	r, err := c.openReplay(ctx, c.Function, log)
	if err != nil {
		return err
	}
	r.file = c.Progress
	if len(c.Key)+len(c.Type) > 0 {
		r.replay.Keep = replay.Filter{Keys: c.Key, Types: c.Type}.Keep
	}
	if c.DryRun {
		r.replay.Function, r.file = nil, ""
	}
	of := fmt.Sprintf("%s of %s %s from %v until %v position %s keys %q types %q",
		r.arn, c.Archive, c.Stream, within.From.UTC(), within.Until.UTC(), within.FromSequence, c.Key, c.Type)
	p, err := r.run(ctx, within, of)
	if c.DryRun {
		_, _ = fmt.Fprint(parsed.Stdout, "dry run: ")
	}
	_, _ = fmt.Fprintf(parsed.Stdout, "%d events in %d records, %d left out, through %s\n",
		p.Events, p.Records, p.Skipped, p.Through.Format(time.RFC3339))
	return err
}

// sequenceOf reads a position, or a sequence number.
func sequenceOf(text string) (string, error) {
	if text == "" || len(text) <= 64 && strings.Trim(text, "0123456789") == "" {
		return text, nil
	}
	p, err := events.ParsePosition(text)
	if err != nil {
		return "", fmt.Errorf("%w: --position: %w", serving.ErrUsage, err)
	}
	return p.Sequence, nil
}

// replayRun is a replay with its sources.
type replayRun struct {
	replay  *replay.Replay
	sources replay.Sources
	arn     string // of the function
	file    string
	log     *slog.Logger
}

func (f sourceFlags) openReplay(ctx context.Context, function string, log *slog.Logger) (*replayRun, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	client := lambda.NewFromConfig(sdk)
	found, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return nil, fmt.Errorf("find function %s: %w", function, err)
	}
	r := &replayRun{arn: aws.ToString(found.FunctionArn), log: log}
	if f.Archive != "" {
		if r.sources.Archive, err = archive.Open(sdk, f.Archive); err != nil {
			return nil, fmt.Errorf("%w: %w", serving.ErrUsage, err)
		}
	}
	name := f.Stream
	if name == "" {
		name = path.Base(f.Archive)
	} else {
		r.sources.Stream = &replay.Stream{Client: kinesis.NewFromConfig(sdk), Name: name}
	}
	r.replay = &replay.Replay{
		Function:  replay.Function{Client: client, Name: function},
		StreamARN: streamARN(r.arn, name),
		Batch:     f.Batch, Rate: f.Rate, Retries: f.Retries,
		Failed: func(err error) { log.Warn("delivered again", "error", err) },
	}
	return r, nil
}

// streamARN is that of a stream in a function's account and region.
func streamARN(function, stream string) string {
	parts := strings.Split(function+"::::", ":")
	return fmt.Sprintf("arn:%s:kinesis:%s:%s:stream/%s", parts[1], parts[3], parts[4], stream)
}

// run replays, and keeps how far it came.
func (r *replayRun) run(ctx context.Context, within archive.Range, of string) (replay.Progress, error) {
	p, err := replay.LoadProgress(r.file, of)
	if err != nil {
		return p, err
	}
	logged := time.Now()
	_, err = r.sources.Replay(ctx, r.replay, within, &p, func(now replay.Progress) error {
		if time.Since(logged) > 10*time.Second {
			logged = time.Now()
			r.log.Info("replayed", "events", now.Events, "through", now.Through)
		}
		return now.Save(r.file)
	})
	return p, err
}
