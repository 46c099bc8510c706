package proxy

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Table is a compiled route file. It does not change after it was compiled,
// except for the counters of its routes, and is safe for concurrent use.
type Table struct {
	File   string    // where it was read from
	Digest string    // of the file's bytes
	At     time.Time // when it was compiled

	legacy    *upstream
	upstreams map[string]*upstream
	routes    []*route
	subjects  *subjects
	trusted   []netip.Prefix
	errorBody template // the body of the proxy's own errors; nil: problem+json
}

type upstream struct {
	name    string
	url     *url.URL
	timeout time.Duration
}

type mode string

const (
	modeLegacy  mode = "legacy"
	modeForward mode = "forward"
	modeSplit   mode = "split"
)

// route is one old endpoint's rule.
type route struct {
	name     string
	method   string // "" matches all
	pattern  pattern
	mode     mode
	percent  float64
	cohort   cohort
	to       *upstream
	timeout  time.Duration
	fallback bool
	follows  bool // reads follow writes
	public   bool // forwarded also without a subject

	newMethod string
	newPath   []pathPart // nil: as it came
	query     []queryRule
	body      template // of the request; nil: as it came
	answer    template // of a good response; nil: as it came
	failure   template // of a response of 400 and above; nil: as it came

	counts routeCounts
}

type routeCounts struct {
	legacy, forwarded, fellBack, failed atomic.Int64
}

type queryRule struct {
	name  string
	value template
}

// pattern is a path such as /api/v1/users/{id} or /static/{rest...}.
type pattern []segment

type segment struct {
	literal string
	param   string
	rest    bool
}

// pathPart is a piece of the new path: a literal or a parameter's value.
type pathPart struct {
	literal string
	param   string // "subject" or a parameter of the pattern
}

// match compares segment by segment, after decoding, so that an encoded
// slash can never make two segments of one. A path with dot or empty
// segments matches no route and goes to the legacy side unchanged.
func (p pattern) match(path []string) (map[string]string, bool) {
	var params map[string]string
	for i, s := range p {
		if s.rest {
			if params == nil {
				params = map[string]string{}
			}
			params[s.param] = strings.Join(path[min(i, len(path)):], "/")
			return params, true
		}
		if i >= len(path) {
			return nil, false
		}
		if s.param == "" {
			if path[i] != s.literal {
				return nil, false
			}
			continue
		}
		if params == nil {
			params = map[string]string{}
		}
		params[s.param] = path[i]
	}
	return params, len(path) == len(p)
}

// segments splits an escaped path; ok is false for one that no route may match.
func segments(escaped string) (out []string, ok bool) {
	if !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	if escaped == "/" {
		return nil, true
	}
	for s := range strings.SplitSeq(escaped[1:], "/") {
		decoded, err := url.PathUnescape(s)
		if err != nil || decoded == "" || decoded == "." || decoded == ".." {
			return nil, false
		}
		out = append(out, decoded)
	}
	return out, true
}

// A Decision says where a request goes and why.
type Decision struct {
	Route    string            `json:"route"`    // "" when no route matched
	Upstream string            `json:"upstream"` // its name in the route file
	Forward  bool              `json:"forward"`  // to a new API rather than the legacy side
	Subject  string            `json:"subject,omitempty"`
	Params   map[string]string `json:"params,omitempty"`
	Reason   string            `json:"reason"`

	route *route
}

// decide finds the route and, for a split one, the subject's side. It has no
// effects: Explain calls it too.
func (t *Table) decide(method, escapedPath, subject string) Decision {
	d := Decision{Upstream: t.legacy.name, Subject: subject, Reason: "no route matches: legacy"}
	path, ok := segments(escapedPath)
	if !ok {
		d.Reason = "the path has empty or dot segments or an invalid escape: legacy, unchanged"
		return d
	}
	for _, r := range t.routes {
		if r.method != "" && r.method != method {
			continue
		}
		params, ok := r.pattern.match(path)
		if !ok {
			continue
		}
		d.route, d.Route, d.Params = r, r.name, params
		d.Forward, d.Reason = r.splitSide(subject)
		if d.Forward {
			d.Upstream = r.to.name
		}
		return d
	}
	return d
}

func (r *route) splitSide(subject string) (forward bool, reason string) {
	switch {
	case r.mode == modeLegacy:
		return false, "the route's mode is legacy"
	case subject == "" && r.needsSubject():
		return false, "the request has no valid token, and the route is not public: legacy"
	case r.mode == modeForward:
		return true, "the route's mode is forward"
	case r.cohort.contains(subject, r.percent):
		return true, "the subject is in the cohort"
	}
	return false, "the subject is not in the cohort"
}

// needsSubject: a split chooses by the subject, and a forwarded endpoint that
// is not declared public was an authenticated one on the legacy side, which
// knows how to refuse.
func (r *route) needsSubject() bool { return r.mode == modeSplit || !r.public }

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// RouteStats are one route's counters since its table was activated.
type RouteStats struct {
	Route     string  `json:"route"`
	Mode      string  `json:"mode"`
	Percent   float64 `json:"percent,omitempty"`
	Legacy    int64   `json:"legacy"`    // answered by the legacy side
	Forwarded int64   `json:"forwarded"` // answered by the new API
	FellBack  int64   `json:"fellBack"`  // tried there, answered by the legacy side
	Failed    int64   `json:"failed"`    // answered with the proxy's own error
}

// Stats lists the routes in the file's order.
func (t *Table) Stats() []RouteStats {
	out := make([]RouteStats, 0, len(t.routes))
	for _, r := range t.routes {
		out = append(out, RouteStats{
			Route: r.name, Mode: string(r.mode), Percent: r.percent,
			Legacy: r.counts.legacy.Load(), Forwarded: r.counts.forwarded.Load(),
			FellBack: r.counts.fellBack.Load(), Failed: r.counts.failed.Load(),
		})
	}
	return out
}
