package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// connectTimeout bounds listing the shards of the stream.
const connectTimeout = 10 * time.Second

// streamFlags say which stream to publish to, and how.
type streamFlags struct {
	Stream          string        `help:"Kinesis stream to publish to." default:"banyan-events" env:"EVENTS_STREAM"`
	Linger          time.Duration `help:"How long an event waits for others to share a record; 0 not at all." default:"5ms" env:"BANYAN_PUBLISH_LINGER"`
	NoAggregation   bool          `help:"One record for each event, for readers without a de-aggregator." env:"BANYAN_PUBLISH_NO_AGGREGATION"`
	AggregateBytes  int           `help:"Size that aggregates aim at." default:"65536" env:"BANYAN_PUBLISH_AGGREGATE_BYTES"`
	MaxRecordBytes  int           `help:"The stream's limit of a record, where it was raised." default:"1048576" env:"BANYAN_PUBLISH_MAX_RECORD_BYTES"`
	MaxPending      int           `help:"Most events pending in memory." default:"10000" env:"BANYAN_PUBLISH_MAX_PENDING"`
	MaxPendingBytes int           `help:"Most bytes of these." default:"67108864" env:"BANYAN_PUBLISH_MAX_PENDING_BYTES"`
	Protocol        string        `help:"Encoding of requests: json, or cbor, which needs less CPU." enum:"json,cbor" default:"json" env:"BANYAN_PUBLISH_PROTOCOL"`
	AttemptTimeout  time.Duration `help:"Longest that one request to Kinesis may take." default:"5s" env:"BANYAN_PUBLISH_ATTEMPT_TIMEOUT"`
}

func (f *streamFlags) config(client kinesis.API) kinesis.Config {
	cfg := kinesis.Config{
		Client: client, Stream: f.Stream, Linger: f.Linger,
		NoAggregation: f.NoAggregation, AggregateBytes: f.AggregateBytes,
		MaxRecordBytes: f.MaxRecordBytes, MaxPending: f.MaxPending, MaxPendingBytes: f.MaxPendingBytes,
		AttemptTimeout: f.AttemptTimeout,
	}
	if f.Protocol == "cbor" {
		cfg.Protocol = kinesis.CBOR
	}
	if f.Linger == 0 {
		cfg.Linger = -1
	}
	return cfg
}

// Validate is called by kong.
func (f *streamFlags) Validate() error {
	if f.Stream == "" {
		return errors.New("--stream is empty")
	}
	return nil
}

// open returns a publisher to the stream, for callers that want an error at once when
// Kinesis refuses an event.
func (f *streamFlags) open(ctx context.Context) (*kinesis.Publisher, error) {
	cfg, err := f.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return connect(ctx, cfg)
}

// openRetrying is open for callers that need refused events to be retried.
func (f *streamFlags) openRetrying(ctx context.Context) (*kinesis.Publisher, error) {
	cfg, err := f.prepare(ctx)
	if err != nil {
		return nil, err
	}
	cfg.RetryRefused = true
	return connect(ctx, cfg)
}

// failing returns the last error of a shard that accepts nothing, as the end
// of a message; empty where there is none.
func failing(p *kinesis.Publisher) string {
	for _, shard := range p.Stats().PerShard {
		if shard.Failing != "" {
			return lastFailure + shard.Failing
		}
	}
	return ""
}

// prepare makes the config of the publisher, and returns every error that can be found
// before a request to Kinesis.
func (f *streamFlags) prepare(ctx context.Context) (kinesis.Config, error) {
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return kinesis.Config{}, err
	}
	cfg := f.config(awskinesis.NewFromConfig(sdk))
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("%w: %w", serving.ErrUsage, err)
	}
	return cfg, nil
}

func connect(ctx context.Context, cfg kinesis.Config) (*kinesis.Publisher, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return kinesis.New(ctx, cfg)
}

// permanent reports whether the stream will never accept the event.
func permanent(err error) bool {
	return errors.Is(err, events.ErrMalformed) || errors.Is(err, kinesis.ErrTooLarge)
}
