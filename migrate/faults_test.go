package migrate_test

import (
	"cmp"
	"math/rand/v2"
	"sync"
	"testing"

	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// faults makes a share of all requests to both stores go wrong, by seed.
type faults struct {
	mu       sync.Mutex
	rate     float64
	rng      *rand.Rand
	injected int
	// deny, if set, says which requests to DynamoDB fail for now.
	deny func(operation, table string) bool
	// partial is the share of batch reads that are answered in part.
	partial float64
	// requests are those to each table of DynamoDB.
	requests map[string]int
}

func (f *faults) with(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faults) set(rate float64, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rate, f.rng = rate, rand.New(rand.NewPCG(seed, 99))
}

// draw returns a number below n, or -1 for no fault.
func (f *faults) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rate == 0 || f.rng.Float64() >= f.rate {
		return -1
	}
	f.injected++
	return f.rng.IntN(n)
}

// awaitRequests waits for n more requests to a table of DynamoDB.
func (f *faults) awaitRequests(t testing.TB, table string, n int) {
	t.Helper()
	until := 0
	waitFor(t, func() (reached bool) {
		f.with(func() {
			until = cmp.Or(until, f.requests[table]+n)
			reached = f.requests[table] >= until
		})
		return reached
	})
}

func (f *faults) chosen(operation, table string) dynamodbserver.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.requests == nil {
		f.requests = map[string]int{}
	}
	f.requests[table]++
	if f.deny != nil && f.deny(operation, table) {
		f.injected++
		return dynamodbserver.FaultInternal
	}
	if operation == "BatchGetItem" && f.partial > 0 && rand.Float64() < f.partial {
		f.injected++
		return dynamodbserver.FaultPartial
	}
	return dynamodbserver.FaultNone
}

func (f *faults) dynamodb(operation, table string) dynamodbserver.Fault {
	if fault := f.chosen(operation, table); fault != dynamodbserver.FaultNone {
		return fault
	}
	all := []dynamodbserver.Fault{dynamodbserver.FaultThrottle, dynamodbserver.FaultInternal, dynamodbserver.FaultTimeoutBefore,
		dynamodbserver.FaultTimeoutAfter, dynamodbserver.FaultPartial, dynamodbserver.FaultConflict}
	if i := f.draw(len(all)); i >= 0 {
		return all[i]
	}
	return dynamodbserver.FaultNone
}

func (f *faults) mongodb(_, _ string) mongodbserver.Fault {
	all := []mongodbserver.FaultKind{mongodbserver.CloseBefore, mongodbserver.CloseAfter, mongodbserver.NotWritablePrimary}
	if i := f.draw(len(all)); i >= 0 {
		return mongodbserver.Fault{Kind: all[i]}
	}
	return mongodbserver.Fault{}
}
