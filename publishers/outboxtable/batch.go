package outboxtable

import (
	"context"
	"errors"
	"sync"
)

// keyResult is the outcome of one key.
type keyResult struct {
	tally
	err error
}

// drainAll relays keys, some at the same time. Those that ctx leaves no time for
// have its error.
func (r *Relay) drainAll(ctx context.Context, keys []string) []keyResult {
	results := make([]keyResult, len(keys))
	indexes := make(chan int)
	var workers sync.WaitGroup
	for range min(r.cfg.Concurrency, len(keys)) {
		workers.Go(func() {
			for i := range indexes {
				if results[i].err = ctx.Err(); results[i].err == nil {
					results[i].tally, results[i].err = r.drain(ctx, keys[i])
				}
			}
		})
	}
	for i := range keys {
		indexes <- i
	}
	close(indexes)
	workers.Wait()
	return results
}

// addResults adds the outcomes of keys to the report.
func (rep *Report) addResults(results []keyResult) {
	for _, res := range results {
		rep.add(res.tally)
		switch {
		case res.err == nil:
		case errors.Is(res.err, ErrClaimed):
			rep.Busy++
		default:
			rep.Failed++
			rep.addError(res.err)
		}
	}
}
