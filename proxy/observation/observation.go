// Package observation is what the proxy saw of one exchange with one side, in the one form
// that figures, the access log, the guard and the comparison of answers read.
//
// An exchange has one [Cause] when it did not end well, and every cause is somebody's
// [Fault]: what a client did must never turn a route back, and an answer that could not be
// mapped is not an upstream that failed.
package observation

import (
	"time"

	"github.com/banyan-fig/banyan/events/correlation"
)

// Side is who was asked.
type Side uint8

// The sides. A shadow's answer is compared and thrown away.
const (
	Legacy Side = iota
	New
	ShadowLegacy
	ShadowNew
)

var sides = [...]string{"legacy", "new", "shadow-legacy", "shadow-new"}

// String is how figures and logs call the side.
func (s Side) String() string { return sides[s] }

// Cause is why an exchange did not end as the client asked.
type Cause uint8

// The causes.
const (
	None              Cause = iota
	ClientGone              // the client closed its connection
	ClientSlow              // it did not read the answer, or not send the body, in time
	ClientMalformed         // its body was not what its head announced
	ClientTooLarge          // its body is too large to be mapped
	RequestUnmappable       // its body does not have what the route's template asks for
	Connect                 // no connection to the upstream
	ConnectTimeout          // none in time
	FirstByteTimeout        // the upstream did not begin to answer in time
	IdleTimeout             // it stopped in the middle of its answer
	TotalTimeout            // the exchange took longer than the route allows
	UpstreamMalformed       // its answer is not HTTP
	UpstreamCut             // it closed the connection before its answer was whole
	UpstreamStatus          // it answered with a status of 500 and above
	AnswerUnmappable        // its answer does not have what the route's template asks for
	BreakerOpen             // it was not asked, because it failed just before
	Behind                  // the read model has not applied the client's last write yet
	Held                    // writes wait for a change of the owner, which took too long
	Undecided               // it cannot be told now whose the request is, and so which side owns what it writes
	causes                  // their number
)

var causeNames = [causes]string{
	"", "client-gone", "client-slow", "client-malformed", "client-too-large", "request-unmappable", "connect", "connect-timeout",
	"first-byte-timeout", "idle-timeout", "total-timeout", "upstream-malformed", "upstream-cut", "upstream-status", "answer-unmappable",
	"breaker-open", "behind", "held", "undecided",
}

// String is how figures and logs call the cause; that of None is empty.
func (c Cause) String() string { return causeNames[c] }

// Causes are all causes but None.
func Causes() []Cause {
	all := make([]Cause, 0, causes-1)
	for c := None + 1; c < causes; c++ {
		all = append(all, c)
	}
	return all
}

// Fault is who has to mend a cause.
type Fault uint8

// The faults.
const (
	Nobody Fault = iota
	Client
	Upstream
	Mapping // of the route file
)

var faults = [...]string{"nobody", "client", "upstream", "mapping"}

// String is how figures and logs call the fault.
func (f Fault) String() string { return faults[f] }

// Fault is whose the cause is.
func (c Cause) Fault() Fault {
	switch c {
	case None, Behind, Held, Undecided:
		return Nobody
	case ClientGone, ClientSlow, ClientMalformed, ClientTooLarge, RequestUnmappable:
		return Client
	case AnswerUnmappable:
		return Mapping
	}
	return Upstream
}

// Observation is one exchange with one side. A request that fell back has two.
type Observation struct {
	Route, Upstream string // by name; Route is empty where none matched
	Side            Side
	Table           string // the digest of the route file
	Method, Host    string
	Path            string // as it came, without the query
	Status          int    // of the upstream's answer; 0 for none
	Sent            int    // the status that the client was given by this exchange; 0 for none
	Start           time.Time
	FirstByte       time.Duration // until the head of the answer
	Total           time.Duration // until all of it was delivered
	BytesIn         int64         // of the body from the client
	BytesOut        int64         // of the body to the client
	Cause           Cause
	Err             error  // beside a cause
	Client          string // its version, where the route file says how to know it
	Subject         string
	Why             string // this side was chosen
	FellBack        bool   // it failed, and the other side is asked
	Fallback        bool   // this side was asked because the other failed
	IDs             correlation.IDs
}

// Failed reports whether the exchange failed, and not by the client's doing.
func (o *Observation) Failed() bool {
	f := o.Cause.Fault()
	return f == Upstream || f == Mapping
}

// Sink is given every observation. It must not keep it, nor block: it stands in the way of
// the next request of the same client.
type Sink interface {
	Observe(o *Observation)
}
