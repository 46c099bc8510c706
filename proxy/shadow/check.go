package shadow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// An Outcome is how a copy ended.
type Outcome int

// The outcomes. Those up to Panicked are comparisons and stand in the route's ledger.
const (
	Equal       Outcome = iota // the same
	Late                       // the same when looked at again
	Differs                    // different, after the last check
	Failed                     // the other side gave no whole answer in time
	Panicked                   // the other side's Handler panicked
	Capped                     // the request's body was longer than MaxBody
	Unread                     // the primary side did not read the request's body to its end
	Unsafe                     // a method that may not be sent twice
	Unforwarded                // the other side is never given such a request (see ErrUnforwarded)
	Stream                     // events, gRPC, an upgraded connection
	Abandoned                  // the client's own exchange failed
	FullQueue                  // dropped: too many copies were waiting
	FullBytes                  // dropped: too many bytes were kept
	Closed                     // the shadow was closed
	outcomes
)

var outcomeNames = [outcomes]string{"equal", "late", "differs", "failed", "panicked", "capped", "unread",
	"unsafe", "unforwarded", "stream", "abandoned", "full_queue", "full_bytes", "closed"}

// String is the outcome as a label: equal, full_queue.
func (o Outcome) String() string { return outcomeNames[o] }

// MarshalText is String.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText takes what MarshalText gives; another name is an error.
func (o *Outcome) UnmarshalText(text []byte) error {
	i := slices.Index(outcomeNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("read the outcome %q: it is none of %v", text, outcomeNames)
	}
	*o = Outcome(i)
	return nil
}

type counts [outcomes]atomic.Int64

func (s *Shadow) countsOf(route string) *counts {
	if c, ok := s.stats.Load(route); ok {
		return c.(*counts)
	}
	c, _ := s.stats.LoadOrStore(route, &counts{})
	return c.(*counts)
}

// Stats is how many copies ended in which way, by route name. They outlive a route file.
func (s *Shadow) Stats() map[string]map[Outcome]int64 {
	out := map[string]map[Outcome]int64{}
	s.stats.Range(func(route, c any) bool {
		of := map[Outcome]int64{}
		for o := range outcomes {
			if n := c.(*counts)[o].Load(); n > 0 {
				of[o] = n
			}
		}
		out[route.(string)] = of
		return true
	})
	return out
}

// compared is a comparison of two answers, or why there is none.
type compared struct {
	outcome     Outcome
	differences []diff.Difference
	a, b        diff.Answer
}

// made reports whether there is a comparison; where not, another try would end the same.
func (c compared) made() bool { return c.outcome <= Panicked }

// absent is a comparison without an answer of the other side.
func (j *job) absent(o Outcome, why string) compared {
	d := diff.Difference{Path: "answer", Kind: diff.Missing, B: j.route.rules.Secrets().Brief(why)}
	return compared{o, []diff.Difference{d}, j.answer, diff.Answer{}}
}

// compare judges the other side's answer by one of the primary's.
func (s *Shadow) compare(j *job, primary, other diff.Answer, err error) compared {
	c := compared{Equal, nil, primary, other}
	switch {
	case err == nil:
		if c.differences = s.diff(j, primary, other); len(c.differences) > 0 {
			c.outcome = Differs
		}
	case errors.Is(err, errFull):
		c.outcome = FullBytes
	case errors.Is(err, ErrUnforwarded):
		c.outcome = Unforwarded
	case errors.Is(err, context.DeadlineExceeded):
		c = j.absent(Failed, "no whole answer within "+j.route.policy.Timeout.String())
	default:
		c = j.absent(Failed, err.Error())
	}
	return c
}

// manyBytes is above what is parsed by all workers at a time: JSON takes some ten times
// its length in memory.
const manyBytes = 64 << 10

func (s *Shadow) diff(j *job, a, b diff.Answer) []diff.Difference {
	packed := a.Header.Get("Content-Encoding") != "" || b.Header.Get("Content-Encoding") != ""
	if packed || len(a.Body)+len(b.Body) > manyBytes {
		s.large.Lock()
		defer s.large.Unlock()
	}
	return diff.Compare(a, b, j.route.rules)
}

// check asks the other side and compares, and reports whether it should be done again
// before it counts. A panic of a side is an outcome.
func (s *Shadow) check(j *job) (r Result, again bool) {
	defer func() {
		if p := recover(); p != nil {
			c := j.absent(Panicked, fmt.Sprint(p))
			r, again = Result{Outcome: c.outcome, Differences: c.differences}, false
			j.last = diff.Answer{}
		}
	}()
	begin := time.Now()
	other, err := s.ask(j, &j.other)
	took := time.Since(begin)
	c := s.compare(j, j.answer, other, err)
	if j.checks > 0 && c.outcome != Equal {
		c = s.compareAgain(j, c, err)
	}
	if j.checks == 0 && err == nil {
		s.learn(j, other)
	}
	last := j.checks >= j.route.policy.Rechecks || !isSafe(j.request.Method) || !c.made()
	if c.outcome != Equal && !last {
		j.checks++
		j.last = other
		return r, true
	}
	if j.checks > 0 && c.outcome == Equal {
		c.outcome = Late
	}
	j.answer, j.last = c.a, c.b
	return Result{Outcome: c.outcome, Status: c.b.Status, Took: took, Differences: c.differences}, false
}

// compareAgain looks whether either side has caught up with the other, asking the
// primary side again too: meanwhile there may have been a write.
func (s *Shadow) compareAgain(j *job, c compared, err error) compared {
	before := j.last
	if j.primary.Handler == nil || !c.made() {
		return c
	}
	primary, errPrimary := s.ask(j, &j.primary)
	if errPrimary != nil {
		return c
	}
	if before.Status != 0 { // the primary was the late one
		if caughtUp := s.compare(j, primary, before, nil); caughtUp.outcome == Equal {
			return caughtUp
		}
	}
	return s.compare(j, primary, c.b, err)
}

// learn asks the legacy side a second time, for a share of the requests.
func (s *Shadow) learn(j *job, other diff.Answer) {
	side, first := &j.primary, j.answer
	if j.other.Legacy {
		side, first = &j.other, other
	}
	repeatable := j.request.Method == http.MethodGet || j.request.Method == http.MethodHead
	if !side.Legacy || side.Handler == nil || !repeatable || s.config.Random()*100 >= j.route.policy.Noise {
		return
	}
	second, err := s.ask(j, side)
	if err != nil {
		return // says nothing about fields
	}
	s.book.Of(j.route.name).Learn(diff.Comparison{At: time.Now(), Fingerprint: j.route.fingerprint, Differences: s.diff(j, first, second)})
}

// record enters a comparison into the ledger, and keeps a sample where it is worth one.
func (s *Shadow) record(j *job, r *Result) {
	version := ""
	if j.route.policy.VersionHeader != "" {
		version = j.request.Header.Get(j.route.policy.VersionHeader)
	}
	keep := s.book.Of(j.route.name).Add(diff.Comparison{
		At: j.at, Fingerprint: j.route.fingerprint, Status: j.answer.Status, Version: version, Differences: r.Differences,
		Partial: diff.Partial(j.answer, j.last),
	})
	if !keep || s.config.Samples == nil {
		return
	}
	target := cmp.Or(j.request.RequestURI, j.request.URL.RequestURI())
	err := diff.WriteSample(s.config.Samples, diff.Sample{
		At: j.at, Route: j.route.name, Method: j.request.Method, Target: j.route.rules.Secrets().Target(target),
		Version: version, Differences: r.Differences,
		Primary: j.route.rules.Side(j.primary.Name, j.answer), Shadow: j.route.rules.Side(j.other.Name, j.last),
	})
	if was := s.lost.Swap(err != nil); err != nil && !was && s.config.Log != nil {
		s.config.Log.Error("samples of answers that differ are lost", "error", err.Error())
	}
}
