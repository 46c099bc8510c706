package migrate_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// paused is a client whose next transaction is paused before it is signed.
type paused struct {
	*dynamodb.Client
	pause atomic.Pointer[func(context.Context)]
	after chan error // that of the transaction
}

func (c *paused) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	opts ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	pause := c.pause.Swap(nil)
	if pause == nil {
		return c.Client.TransactWriteItems(ctx, in, opts...)
	}
	hook := middleware.FinalizeMiddlewareFunc("pause", func(signing context.Context, in middleware.FinalizeInput,
		next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		(*pause)(ctx)
		return next.HandleFinalize(signing, in)
	})
	out, err := c.Client.TransactWriteItems(context.WithoutCancel(ctx), in, append(opts, dynamodb.WithAPIOptions(
		func(stack *middleware.Stack) error { return stack.Finalize.Insert(hook, "Signing", middleware.Before) }))...)
	c.after <- err
	return out, err
}

// A process that sleeps over the end of its lease, in the middle of a call, signs nothing
// when it wakes.
func TestALeaseLostWithinACallEndsIt(t *testing.T) {
	w := newWorld(t)
	w.seed(20)
	w.encapsulate()
	client := &paused{Client: w.ddb, after: make(chan error, 1)}
	pause := func(ctx context.Context) {
		w.faults.with(func() {
			w.faults.deny = func(operation, table string) bool { return table == ownership.DefaultTable && operation != "GetItem" }
		})
		<-ctx.Done() // the heartbeat has given up
		w.faults.with(func() { w.faults.deny = nil })
	}
	client.pause.Store(&pause)
	e := w.engine(func(c *migrate.Config) { c.DynamoDB, c.Lease = client, 2*time.Second })
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Error(err)
	}
	if err := <-client.after; !errors.Is(err, worker.ErrLeaseLost) {
		t.Errorf("%v, want %v", err, worker.ErrLeaseLost)
	}
	w.mustBeEqual("users")
}
