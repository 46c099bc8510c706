package shadow

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// job is a copied exchange.
type job struct {
	route          *Route
	request        *http.Request // without a body
	body           []byte
	answer         diff.Answer // of the primary
	primary, other Side
	at             time.Time

	held   int         // bytes of the shadow's
	checks int         // that were made again
	last   diff.Answer // of the other side
}

// A Shadow is the pool that repeats requests. Safe for concurrent use.
type Shadow struct {
	config Config
	queue  chan *job
	held   atomic.Int64
	lost   atomic.Bool // the last sample could not be written
	stats  sync.Map    // route name -> *counts
	book   diff.Book

	ctx     context.Context
	cancel  context.CancelFunc
	workers sync.WaitGroup

	mu     sync.RWMutex // held for reading while a job is queued
	closed bool

	timers  sync.Mutex
	waiting map[*job]*time.Timer // for their next check
	pending sync.WaitGroup       // timers that have not fired or been stopped

	large sync.Mutex // held while bodies above manyBytes are compared
}

// New starts the pool. Close ends it.
func New(c Config) *Shadow {
	setDefault(&c.Workers, 32)
	setDefault(&c.Queue, 1024)
	setDefault(&c.Bytes, 64<<20)
	if c.Random == nil {
		c.Random = rand.Float64
	}
	s := &Shadow{config: c, queue: make(chan *job, c.Queue), waiting: map[*job]*time.Timer{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for range c.Workers {
		s.workers.Go(s.work)
	}
	return s
}

// Book is the ledgers of the routes by name.
func (s *Shadow) Book() *diff.Book { return &s.book }

// Use begins the route's ledger anew where what is compared has changed. Without it nothing
// is counted there.
func (s *Shadow) Use(r *Route) { s.book.Of(r.name).Use(r.fingerprint) }

// Held is how many bytes of Config.Bytes are in use.
func (s *Shadow) Held() int64 { return s.held.Load() }

// Close ends what is under way and waits for it. What was not compared yet counts as
// Closed.
func (s *Shadow) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.workers.Wait()
	s.timers.Lock()
	for j, t := range s.waiting {
		if t.Stop() {
			s.pending.Done()
			s.finish(j, Result{Outcome: Closed})
		}
	}
	s.timers.Unlock()
	s.pending.Wait()
	for {
		select {
		case j := <-s.queue:
			s.finish(j, Result{Outcome: Closed})
		default:
			return
		}
	}
}

// offer queues a job, or counts at once why it did not: the queue is full, or the shadow is
// closed.
func (s *Shadow) offer(j *job) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		s.finish(j, Result{Outcome: Closed})
		return
	}
	select {
	case s.queue <- j:
	default:
		s.finish(j, Result{Outcome: FullQueue})
	}
}

// reserve takes n of the bytes for a job, or none.
func (s *Shadow) reserve(j *job, n int) bool {
	for {
		held := s.held.Load()
		if held+int64(n) > int64(s.config.Bytes) {
			return false
		}
		if s.held.CompareAndSwap(held, held+int64(n)) {
			j.held += n
			return true
		}
	}
}

// keep appends p, which fits within the route's MaxBody, to a buffer of the job's.
func (s *Shadow) keep(j *job, buf *[]byte, p []byte) bool {
	if need := len(*buf) + len(p); need > cap(*buf) {
		size := max(need, min(max(2*cap(*buf), 2<<10), j.route.policy.MaxBody))
		if !s.reserve(j, size-cap(*buf)) {
			return false
		}
		bigger := make([]byte, len(*buf), size)
		copy(bigger, *buf)
		*buf = bigger
	}
	*buf = append(*buf, p...)
	return true
}

// finish counts how a job ended and gives its memory back.
func (s *Shadow) finish(j *job, r Result) {
	s.held.Add(-int64(j.held))
	route := j.route
	*j = job{route: route} // a Capture may be kept for long, by an exchange that goes on
	s.count(route, r)
}

func (s *Shadow) count(route *Route, r Result) {
	r.Route = route.name
	s.countsOf(route.name)[r.Outcome].Add(1)
	if s.config.Observe != nil {
		s.config.Observe(r)
	}
}

func (s *Shadow) work() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case j := <-s.queue:
			s.run(j)
		}
	}
}

// run makes one check of a job and ends it, unless it is to be checked again.
func (s *Shadow) run(j *job) {
	r, again := s.check(j)
	if s.ctx.Err() != nil {
		r, again = Result{Outcome: Closed}, false // what it saw was cut short
	}
	if again {
		s.recheck(j)
		return
	}
	if r.Outcome <= Panicked {
		s.record(j, &r)
	}
	s.finish(j, r)
}

// recheck queues a job again later.
func (s *Shadow) recheck(j *job) {
	s.timers.Lock()
	defer s.timers.Unlock()
	s.pending.Add(1)
	s.waiting[j] = time.AfterFunc(j.route.policy.RecheckAfter, func() {
		defer s.pending.Done()
		s.timers.Lock()
		delete(s.waiting, j)
		s.timers.Unlock()
		s.offer(j)
	})
}

// ask sends the request to a side once and returns what the client would have got.
func (s *Shadow) ask(j *job, side *Side) (diff.Answer, error) {
	ctx, cancel := context.WithTimeout(j.request.Context(), j.route.policy.Timeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	req := j.request.Clone(ctx)
	req.ContentLength = int64(len(j.body))
	req.TransferEncoding = nil
	req.Body = http.NoBody
	if len(j.body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(j.body))
	}
	req.Header.Set(HeaderShadow, "1")
	to := &recorder{shadow: s, job: j, header: http.Header{}}
	return to.handle(side.Handler, req)
}
