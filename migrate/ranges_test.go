package migrate_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate"
)

// countingRanges counts how often all ranges are read.
type countingRanges struct {
	*dynamodb.Client
	reads atomic.Int64
}

func (c *countingRanges) Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	if strings.HasPrefix(dynamo.StringOf(in.ExpressionAttributeValues, ":prefix"), "range#") && in.ExclusiveStartKey == nil {
		c.reads.Add(1)
	}
	return c.Client.Query(ctx, in, opts...)
}

// TestManyRangesAreReadSeldom: what a range costs does not grow with their number, as it does
// where all are read to claim one. Several processes share them, and all are copied.
func TestManyRangesAreReadSeldom(t *testing.T) {
	const documents, processes = 200, 3
	w := newWorld(t)
	w.seed(documents)
	w.encapsulate()
	counting := &countingRanges{Client: w.ddb}
	var all sync.WaitGroup
	began := time.Now()
	for range processes {
		e := w.engine(func(c *migrate.Config) { c.DynamoDB, c.RangeSize, c.ChunkSize = counting, 1, 10 })
		all.Go(func() {
			if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.mustBeEqual(w.users.Name())
	st, err := w.engine().Status(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st.Copied.Done != documents+1 || st.Copied.Documents != documents {
		t.Errorf("copied: %+v", st.Copied)
	}
	told := processes * int64(1+time.Since(began)/time.Second) // how far it is, which each tells once a second
	if n := counting.reads.Load(); n > documents/4+2*told {
		t.Errorf("all ranges were read %d times for %d", n, documents)
	}
}
