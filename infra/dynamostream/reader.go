package dynamostream

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// DefaultInterval is the time between two requests of a reader that is not hurried.
const DefaultInterval = 250 * time.Millisecond

// What a hurried reader asks. AWS documents no limit but that of two readers; the shards of
// Kinesis Data Streams answer five requests a second.
const (
	requestsPerSecond = 5
	maxSpared         = 10
	hurriedInterval   = 25 * time.Millisecond
)

// Pace hurries readers, all that have it, while somebody waits for what is in their shards.
// The zero value does not. It is safe for concurrent use.
type Pace struct {
	mu      sync.Mutex
	hurried bool
	changed chan struct{} // closed when hurried changes; nil if nobody waits for that
}

// Hurry begins or ends it.
func (p *Pace) Hurry(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hurried != on && p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	p.hurried = on
}

// Hurried reports whether it does.
func (p *Pace) Hurried() bool {
	hurried, _ := p.state()
	return hurried
}

func (p *Pace) state() (hurried bool, changed <-chan struct{}) {
	if p == nil {
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.hurried, p.changed
}

// Reader reads one shard. It holds one page at a time, and is for one goroutine. It asks four
// times a second, which spares one request of five, up to ten; a hurried one spends these
// one right after the other, and then asks five times a second.
type Reader struct {
	Stream   Stream
	Shard    string
	Position Position      // behind the last page; where to begin
	Interval time.Duration // default DefaultInterval
	Pace     *Pace         // nil for one that is never hurried

	iterator string
	asked    time.Time
	spared   float64 // requests, when it last asked
	failures int
}

// Wait waits until the shard may be asked again.
func (r *Reader) Wait(ctx context.Context) error {
	for {
		hurried, changed := r.Pace.state()
		left := time.Until(r.asked.Add(r.interval(hurried)))
		if left <= 0 || ctx.Err() != nil {
			return context.Cause(ctx)
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (r *Reader) interval(hurried bool) time.Duration {
	calm := cmp.Or(r.Interval, DefaultInterval)
	switch {
	case !hurried:
		return calm
	case r.spared >= 1:
		return min(calm, hurriedInterval)
	}
	return min(calm, time.Second/requestsPerSecond)
}

// count counts a request that is sent now.
func (r *Reader) count() {
	now := time.Now()
	r.spared = max(0, min(maxSpared, r.spared+requestsPerSecond*now.Sub(r.asked).Seconds())-1) // all of them at first
	r.asked = now
}

// pauses are those after a request that failed.
var pauses = backoff.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}

// Next returns the records behind Position and moves it behind them; last says that the
// shard is at its end. It asks again while the stream throttles or cannot be reached, until
// ctx ends. It fails with ErrTrimmed, and with errors that another attempt does not change.
// An iterator that expired before the first record of [Latest] is replaced by one for
// [Oldest]: that delivers again, and misses nothing.
func (r *Reader) Next(ctx context.Context) (page Page, last bool, err error) {
	for {
		if err := r.Wait(ctx); err != nil {
			return Page{}, false, err
		}
		r.count()
		page, err := r.read(ctx)
		switch {
		case err == nil:
			r.failures, r.iterator = 0, page.Next
			if n := len(page.Records); n > 0 {
				if c := page.Records[n-1].Dynamodb; c != nil {
					r.Position = After(aws.ToString(c.SequenceNumber))
				}
			}
			return page, page.Next == "", nil
		case errors.Is(err, ErrExpired):
			r.iterator = ""
			if r.Position == Latest {
				r.Position = Oldest
			}
			continue
		case ctx.Err() != nil:
			return Page{}, false, errors.Join(context.Cause(ctx), err)
		case errors.Is(err, ErrTrimmed) || awserr.IsPermanent(err):
			return Page{}, false, err
		}
		if err := pauses.Wait(ctx, r.failures); err != nil {
			return Page{}, false, err
		}
		r.failures++
	}
}

func (r *Reader) read(ctx context.Context) (Page, error) {
	if r.iterator == "" {
		it, err := r.Stream.Iterator(ctx, r.Shard, r.Position)
		if err != nil {
			return Page{}, err
		}
		r.iterator = it
	}
	return r.Stream.Read(ctx, r.Shard, r.iterator, MaxRecords)
}
