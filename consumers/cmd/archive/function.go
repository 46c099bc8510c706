package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/archive"
)

// function has a writer for each stream that it was invoked for: there is one, as a rule.
type function struct {
	open    func(stream string) (archive.Store, error)
	observe func(context.Context, consumers.Report)

	mu      sync.Mutex
	writers map[string]*archive.Writer
}

func newFunction(sdk aws.Config, getenv func(string) string, metrics io.Writer) (*function, error) {
	address := getenv("ARCHIVE")
	if address == "" {
		return nil, errors.New("ARCHIVE must be set to s3://bucket/prefix or a folder")
	}
	if _, err := archive.Open(sdk, address); err != nil {
		return nil, fmt.Errorf("ARCHIVE: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("consumer", "archive")
	write := consumers.EMF(metrics, cmp.Or(getenv("METRICS_NAMESPACE"), "Banyan/Consumers"), cmp.Or(getenv("AWS_LAMBDA_FUNCTION_NAME"), "archive"))
	return &function{
		writers: map[string]*archive.Writer{},
		open: func(stream string) (archive.Store, error) {
			return archive.Open(sdk, strings.TrimSuffix(address, "/")+"/"+stream)
		},
		observe: func(ctx context.Context, r consumers.Report) {
			write(ctx, r)
			for _, err := range r.Errors {
				log.ErrorContext(ctx, "the batch is delivered again from a record that is not archived", "error", err)
			}
		},
	}, nil
}

func parse(payload json.RawMessage) (awsevents.KinesisEvent, error) {
	var e awsevents.KinesisEvent
	err := json.Unmarshal(payload, &e)
	if err == nil && len(e.Records) == 0 {
		err = errors.New("it has no Records")
	}
	if err != nil {
		return e, fmt.Errorf("archive: invoked with something else than a batch of Kinesis records: %w", err)
	}
	return e, nil
}

func (f *function) archive(ctx context.Context, e awsevents.KinesisEvent) (any, error) {
	arn := e.Records[0].EventSourceArn
	for _, r := range e.Records {
		if r.EventSourceArn != arn {
			return nil, fmt.Errorf("archive: a batch of several streams, %s and %s", arn, r.EventSourceArn)
		}
	}
	w, err := f.writer(arn)
	if err != nil {
		return nil, err
	}
	return w.HandleKinesis(ctx, e)
}

func (f *function) writer(arn string) (*archive.Writer, error) {
	_, stream, ok := strings.Cut(arn, ":stream/")
	stream, _, _ = strings.Cut(stream, "/") // of a consumer with enhanced fan-out
	if !ok || stream == "" || strings.HasPrefix(stream, ".") {
		return nil, fmt.Errorf("archive: %q is not the ARN of a Kinesis stream", arn)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writers[arn] == nil {
		store, err := f.open(stream)
		if err != nil {
			return nil, err
		}
		f.writers[arn] = &archive.Writer{Store: store, Observe: f.observe}
	}
	return f.writers[arn], nil
}
