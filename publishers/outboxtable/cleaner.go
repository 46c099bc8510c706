package outboxtable

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// CleanerAPI is what a [Cleaner] needs of *dynamodb.Client.
type CleanerAPI interface {
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
}

const (
	cleanerQueue = 1000
	cleanerBatch = 25 // the most of a BatchWriteItem
	cleanerTries = 4
	cleanerTime  = 5 * time.Second
	// cleanerLinger is short against the age at which anything is swept.
	cleanerLinger = 100 * time.Millisecond
)

// Cleaner deletes the entries of an owner that publishes its events by itself,
// right after the write, and needs the outbox only for what it could not publish.
// It works in the background, many entries in one request, so that no caller
// waits. What it cannot delete, or has not deleted when the process dies, is swept
// and thus published once more. Safe for concurrent use. Close it.
type Cleaner struct {
	client CleanerAPI
	table  string
	queue  chan Entry
	ctx    context.Context // ends when the time of Close ends
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.RWMutex
	closed bool
	failed error // why entries could not be deleted after Close
}

// NewCleaner starts a cleaner.
func NewCleaner(client CleanerAPI, table string) *Cleaner {
	c := &Cleaner{client: client, table: table, queue: make(chan Entry, cleanerQueue), done: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

// Forget deletes an entry soon: every event of it is on the stream. Of more than
// 1,000 that wait, and after Close, it leaves the rest to the sweep.
func (c *Cleaner) Forget(e Entry) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return
	}
	select {
	case c.queue <- e:
	default:
	}
}

// Close deletes the waiting entries, until ctx ends. The error says that some of that was
// left to the sweep.
func (c *Cleaner) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.cancel()
		<-c.done
	}
	c.cancel()
	if c.failed != nil {
		return fmt.Errorf("outboxtable: delete published entries of table %q: %w; the sweep will publish them again", c.table, c.failed)
	}
	return nil
}

func (c *Cleaner) run() {
	defer close(c.done)
	for first := range c.queue {
		err := c.remove(c.gatherBatch(first))
		c.mu.Lock()
		if err != nil && c.closed {
			c.failed = err
		}
		c.mu.Unlock()
	}
}

// gatherBatch waits a moment for further entries, up to those of one request. A request
// may not have a key twice.
func (c *Cleaner) gatherBatch(first Entry) []types.WriteRequest {
	over := time.NewTimer(cleanerLinger)
	defer over.Stop()
	seen := map[string]bool{}
	var batch []types.WriteRequest
	for e := first; ; {
		if key := e.PartitionKey + "\x00" + e.SortKey; !seen[key] {
			seen[key] = true
			batch = append(batch, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: dynamo.Key(e.PartitionKey, e.SortKey)}})
		}
		if len(batch) == cleanerBatch {
			return batch
		}
		var open bool
		select {
		case e, open = <-c.queue:
			if !open {
				return batch
			}
		case <-over.C:
			return batch
		}
	}
}

func (c *Cleaner) remove(batch []types.WriteRequest) error {
	ctx, cancel := context.WithTimeout(c.ctx, cleanerTime)
	defer cancel()
	left := map[string][]types.WriteRequest{c.table: batch}
	for try := 0; ; try++ {
		out, err := c.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: left})
		if err == nil && len(out.UnprocessedItems) == 0 {
			return nil
		}
		if err == nil {
			left = out.UnprocessedItems
		}
		if try+1 == cleanerTries || retryDelay.Wait(ctx, try) != nil {
			if err == nil {
				err = fmt.Errorf("%d were left unprocessed", len(left[c.table]))
			}
			return err
		}
	}
}
