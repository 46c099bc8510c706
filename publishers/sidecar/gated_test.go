package sidecar_test

import (
	"context"
	"errors"
	"sync/atomic"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// gate decides whether Kinesis can be reached.
type gate struct{ closed atomic.Bool }

func (g *gate) shut(closed bool) { g.closed.Store(closed) }

// gated is the real client behind a gate.
type gated struct {
	kinesis.API
	gate *gate
}

func (g *gated) PutRecords(ctx context.Context, in *awskinesis.PutRecordsInput, options ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error) {
	if g.gate.closed.Load() {
		return nil, errors.New("connection refused")
	}
	return g.API.PutRecords(ctx, in, options...)
}
