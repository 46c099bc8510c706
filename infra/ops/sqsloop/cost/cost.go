// Package cost works out what SQS loops cost a month, and what event source
// mappings would, from the published prices in package capacity. The formulas and
// a table are in the comment of package sqsloop.
package cost

import (
	"time"

	"github.com/banyan-fig/banyan/infra/capacity"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// monthSeconds is a month of 730 hours.
const monthSeconds = 730 * 3600

// mappingPollers is how many pollers a mapping has while little happens
// ("Configuring scaling behavior for SQS event source mappings"; it may go down
// to 2).
const mappingPollers = 5

// heartbeat is a loop's with the default of Queue.StaleAfter.
const heartbeat = sqsloop.DefaultStaleAfter / 6

// Load is what a queue brings in a month, and how it is handled.
type Load struct {
	// Messages a month, in batches of Batch.
	Messages, Batch float64
	// Handling is how long a function takes for a batch.
	Handling time.Duration
	// MemoryGB of the functions, 0.125 for 128 MB; on arm64.
	MemoryGB float64
	// Loops that run all of the time.
	Loops float64
}

// prices of one request, write, GB-second.
type prices struct{ request, sqs, write, second float64 }

func of(p capacity.Prices) prices {
	const million = 1e6
	return prices{
		request: p.By["lambda-requests"].USD / million, sqs: p.By["sqs-requests"].USD / million,
		write: p.By["dynamodb-write-request"].USD / million, second: p.By["lambda-arm64"].USD,
	}
}

// Loop is what l costs in dollars a month by loops with the defaults, the handler
// being a function of its own. Storage, logs and the scaling functions, cents a
// month, are left out.
func (l Load) Loop(by capacity.Prices) float64 {
	p := of(by)
	polls := (sqsloop.DefaultRecurseAfter + sqsloop.DefaultWait - 1) / sqsloop.DefaultWait // of an idle turn
	turn := float64(polls) * sqsloop.DefaultWait.Seconds()
	second := l.MemoryGB*p.second + (p.request+p.write)/turn + p.write/heartbeat.Seconds() + p.sqs/sqsloop.DefaultWait.Seconds()
	return l.Loops*monthSeconds*second + l.messages(p)
}

// Mapping is what l costs by an event source mapping.
func (l Load) Mapping(by capacity.Prices) float64 {
	p := of(by)
	return monthSeconds*mappingPollers*p.sqs/sqsloop.DefaultWait.Seconds() + l.messages(p)
}

func (l Load) messages(p prices) float64 {
	return l.Messages / l.Batch * (2*p.sqs + p.request + l.Handling.Seconds()*l.MemoryGB*p.second)
}
