package shadow

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
)

// HeaderShadow is on each repeated request. A proxy removes it from what clients send.
const HeaderShadow = "Banyan-Shadow"

// ErrUnforwarded is what a Side's Handler panics with, as with http.ErrAbortHandler, for a
// request that this side would never be given, such as one without a token: there is nothing
// to compare.
var ErrUnforwarded = errors.New("such a request is not forwarded")

// A Policy says which requests of a route are repeated on the other side, under the
// route's key "shadow".
type Policy struct {
	// The percentage of requests that are repeated, above 0 to 100. Required.
	// Example: 5
	Percent float64 `yaml:"percent"`
	// Methods beside GET, HEAD and OPTIONS that are repeated, when the request carries
	// the idempotency header. Default: none.
	// Example: [PUT, DELETE]
	Methods []string `yaml:"methods"`
	// The header by which the other side knows that it had a request before. Default:
	// Idempotency-Key.
	// Example: X-Request-Token
	IdempotencyHeader string `yaml:"idempotencyHeader"`
	// The header in which clients say their version. Default: none.
	// Example: X-App-Version
	VersionHeader string `yaml:"versionHeader"`
	// How long the other side may take for a whole answer. Default: 10s.
	// Example: 3s
	Timeout time.Duration `yaml:"timeout"`
	// How many bytes of a request's body and of an answer are kept, at most 16777216;
	// a comparison looks at 1048576 of them. Default: 262144.
	// Example: 1048576
	MaxBody int `yaml:"maxBody"`
	// The percentage of repeated GETs and HEADs after which the legacy side is asked a
	// second time, to learn what differs by itself. Default: 0.
	// Example: 10
	Noise float64 `yaml:"noise"`
	// How often a difference is looked for again before it counts, because a read model
	// may be late. Default: 0.
	// Example: 3
	Rechecks int `yaml:"rechecks"`
	// How long to wait before each of them. Default: 1s.
	// Example: 500ms
	RecheckAfter time.Duration `yaml:"recheckAfter"`
}

const (
	mostBody     = 16 << 20
	mostRechecks = 10
)

// A Route is a route's policy, compiled: immutable. The ledger and the counts of its
// name outlive it.
type Route struct {
	name        string
	policy      Policy
	rules       *diff.Rules
	fingerprint string
	methods     []string
}

// NewRoute checks the policy and fills in its defaults. A nil rules stands for those of
// the empty diff.Spec. The fingerprint changes with all that decides what is compared.
func NewRoute(name string, p Policy, rules *diff.Rules, fingerprint string) (*Route, error) {
	for _, is := range []struct {
		key      string
		ok       bool
		value    any
		expected string
	}{
		{"percent", p.Percent > 0 && p.Percent <= 100, p.Percent, "above 0 and at most 100"},
		{"timeout", p.Timeout >= 0, p.Timeout, "a duration such as 10s"},
		{"maxBody", p.MaxBody >= 0 && p.MaxBody <= mostBody, p.MaxBody, fmt.Sprintf("at most %d", mostBody)},
		{"noise", p.Noise >= 0 && p.Noise <= 100, p.Noise, "0 to 100"},
		{"rechecks", p.Rechecks >= 0 && p.Rechecks <= mostRechecks, p.Rechecks, fmt.Sprintf("0 to %d", mostRechecks)},
		{"recheckAfter", p.RecheckAfter >= 0, p.RecheckAfter, "a duration such as 1s"},
	} {
		if !is.ok {
			return nil, fmt.Errorf("route %s: shadow: invalid %s %v: it must be %s", name, is.key, is.value, is.expected)
		}
	}
	r := &Route{name: name, policy: p, rules: rules, fingerprint: fingerprint}
	for _, m := range p.Methods {
		r.methods = append(r.methods, strings.ToUpper(m))
	}
	setDefault(&r.policy.IdempotencyHeader, "Idempotency-Key")
	setDefault(&r.policy.Timeout, 10*time.Second)
	setDefault(&r.policy.MaxBody, 256<<10)
	setDefault(&r.policy.RecheckAfter, time.Second)
	return r, nil
}

func setDefault[T comparable](v *T, standard T) {
	var zero T
	if *v == zero {
		*v = standard
	}
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// allows reports whether a request may be sent a second time, to the other side.
func (r *Route) allows(req *http.Request) bool {
	return isSafe(req.Method) || slices.Contains(r.methods, req.Method) && req.Header.Get(r.policy.IdempotencyHeader) != ""
}

// A Side is one of the two that can answer. A primary side without a Handler is not asked
// again: no noise is learnt from it, and a further check compares with what it had answered.
type Side struct {
	Name   string // for samples
	Legacy bool   // the one that noise is learnt from
	// Handler answers as the client would be answered, such as an exchange engine that is
	// bound to this side. It gets a copy of the client's request, RequestURI and context
	// values included; its time limit is the context's. It has Header, Write, WriteHeader
	// and Flush, no deadlines and no Hijack; Write fails where the answer is longer than
	// MaxBody. Its connections should be the shadow's own.
	Handler http.Handler
}

// A Result is how one copy ended, for metrics and the guard.
type Result struct {
	Route   string
	Outcome Outcome
	// Status is the other side's, 0 without an answer; Took is how long its newest
	// answer took.
	Status int
	Took   time.Duration
	// Differences are those that count: when the Outcome is Differs, Failed or Panicked.
	Differences []diff.Difference
}

// Config sizes a Shadow. The zero value works.
type Config struct {
	Workers int // requests at a time: 32 of 50 ms each are 640/s; default 32
	Queue   int // copies that wait for a worker; default 1024
	Bytes   int // of heads and bodies that are kept, of copies in any state; default 64 MiB
	// Samples gets a line of JSON for comparisons with differences, in one Write each;
	// such as a *diff.File. Default: none are kept.
	Samples io.Writer
	Log     *slog.Logger // samples that are lost, once until one is not; nil discards
	// Observe is told how each copy ended, on the goroutine where it ended: that may be
	// the client's, so it must be quick.
	Observe func(Result)
	// Random decides which requests are copied: uniform in [0, 1), from any goroutine.
	// Default: math/rand.
	Random func() float64
}
