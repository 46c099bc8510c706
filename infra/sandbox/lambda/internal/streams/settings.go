package streams

import (
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
)

// Unlimited as the number of Retries means until the record succeeds or expires.
const Unlimited = -1

// MaxPayload is the most that one invocation can be given, in bytes ("Lambda
// quotas": 6 MB).
const MaxPayload = 6 << 20

// Settings are those of an event source mapping. They are checked by whoever
// creates the mapping.
type Settings struct {
	BatchSize      int              // 1 to 10,000
	Window         time.Duration    // how long to gather records; 0 to 300 s
	ReportFailures bool             // ReportBatchItemFailures
	Filter         *filter.Criteria // nil keeps all

	// Of streams only.

	Lanes   int           // parallelization factor, 1 to 10
	Retries int           // Unlimited or 0 to 10,000
	MaxAge  time.Duration // zero: records do not grow too old
	Bisect  bool          // split a failed batch
	Start   Position      // where the first shards are begun

	// Of queues only.

	Pollers    int           // batches at a time, at least 1
	Visibility time.Duration // of the queue: for how long a message that was received is the mapping's
}

// Pace holds the pauses, which AWS does not document.
type Pace struct {
	Idle       time.Duration // between reads that return nothing
	Backoff    time.Duration // before the first retry; doubled each time
	BackoffMax time.Duration // the longest pause before a retry
}

// pause returns how long to wait before the nth retry, counted from zero.
func (p Pace) pause(n int) time.Duration {
	d := p.Backoff
	for range n {
		if d *= 2; d >= p.BackoffMax {
			return p.BackoffMax
		}
	}
	return min(d, p.BackoffMax)
}
