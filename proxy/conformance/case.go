package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Kind is a kind of route that a case is sent along.
type Kind string

// The kinds: unrouted, forwarded as it came, forwarded with both bodies mapped, and
// forwarded for a cohort that has everybody.
const (
	Legacy    Kind = "legacy"
	Forwarded Kind = "forwarded"
	Mapped    Kind = "mapped"
	Split     Kind = "split"
)

// Kinds are all of them.
var Kinds = []Kind{Legacy, Forwarded, Mapped, Split}

func (k Kind) side() string {
	if k == Legacy {
		return legacySide
	}
	return newSide
}

// Case is what a client sends, what the upstream answers, and what may become of it. In
// the texts, placeholders and marks stand as expand, client.send and exchange.play say.
type Case struct {
	Name  string // what happens, and, where a finding is behind it, whose or which
	Send  string // what the client sends
	Kinds []Kind // of routes; none: all
	Brief bool   // it is about the time limits of routes, which are then short
	Alone bool   // it spoils connections that others could get, and is run after them
	Mark  string // what begins requests that have no token and are of this case

	// What the client does: by default it sends, reads, and goes on with a canary.
	Client func(*client)

	// What the upstream does: by default it echoes the request line.
	Answer string
	Serve  func(*exchange)

	Want   Want
	Mapped *Want // instead of Want, on a mapped route
}

// Want says what a case allows. Its zero value is that the upstream sees the request once,
// as it was sent, and the client its answer with status 200.
type Want struct {
	// Of the request.
	Refused  bool     // the client gets a 4xx, 501 or 505, and then the end, and the upstream no whole request
	Or       bool     // with Refused: or it is passed as the rest says
	Open     bool     // with Refused: the connection may stay open
	Silent   bool     // with Refused: the client may get no answer
	Sees     []string // method, target and body of the requests that may arrive; none: what was sent, whatever its body
	Again    bool     // it may arrive twice
	AnySide  bool     // it may arrive at the legacy side in spite of the route
	Lonely   bool     // the target may answer by itself instead
	SeesHas  []string // fields of the first request that arrives
	SeesNot  []string // names of fields, or fields, that must not arrive
	Closes   bool     // the connection ends after the answer
	Fallback bool     // routes that forward are answered by the legacy side instead, after the upstream saw the request

	// Of the answer.
	Status  []int    // any of these; none: 200
	Body    string   // "": not looked at; "-": empty
	Has     []string // fields
	Not     []string // names of fields, or fields
	Interim []string // start of the status lines of interim answers
	Trailer []string // trailing fields
	Cut     bool     // not a whole answer, or an error in its place
}

func (r *run) want() Want {
	w := r.kase.Want
	if r.kase.Mapped != nil && r.kind == Mapped {
		w = *r.kase.Mapped
	}
	w.Fallback = w.Fallback && r.kind != Legacy
	return w
}

// check says what of a run is not as wanted, after it and its target have ended.
func (r *run) check() []string {
	w := r.want()
	if isTimeout(r.end) {
		r.fail("nothing more came for %v", r.budget)
	} else if isWire(r.end) {
		r.fail("the client got %v", r.end)
	}
	if r.next != "" {
		r.fail("the next client got %s", r.next)
	}
	if w.Refused && r.wasRefused(w) {
		return r.problems
	}
	if w.Refused && !w.Or {
		r.fail("not refused: the client got %s; the upstreams %s", r.got(), r.saw())
		return r.problems
	}
	r.checkRequests(w)
	r.checkAnswers(w)
	if r.canary && w.Closes {
		r.fail("the connection stayed open")
	}
	if len(r.problems) > 0 {
		r.fail("the client got %s; the upstreams %s", r.got(), r.saw())
	}
	return r.problems
}

// refused reports whether the request was refused where it might have been passed.
func (r *run) refused() bool {
	w := r.want()
	return w.Refused && w.Or && r.wasRefused(w)
}

func (r *run) wasRefused(w Want) bool {
	for _, x := range r.seen {
		if x.whole {
			return false
		}
	}
	if len(r.answers) == 0 {
		return w.Silent
	}
	if len(r.answers) > 1 || r.canary && !w.Open {
		return false
	}
	code, _ := r.answers[0].status()
	return code >= 400 && code < 500 || code == 501 || code == 505
}

// sides splits what arrived between the side that the route names and the other one.
func (r *run) sides(anySide bool) (mine, other []*exchange) {
	for _, x := range r.seen {
		if anySide || x.side == r.kind.side() {
			mine = append(mine, x)
		} else {
			other = append(other, x)
		}
	}
	return mine, other
}

func (r *run) checkRequests(w Want) {
	mine, other := r.sides(w.AnySide)
	if w.Lonely && len(r.seen) == 0 {
		return
	}
	if !w.Fallback && len(other) > 0 {
		r.fail("the other side was asked")
	}
	sees := w.Sees
	if sees == nil {
		line, _, _ := strings.Cut(r.expand(r.kase.Send), " HTTP/")
		sees = []string{line}
	}
	if w.Again && len(mine) == 2*len(sees) {
		mine = mine[len(sees):]
	}
	if len(mine) != len(sees) {
		r.fail("the upstream got %d requests, want %d", len(mine), len(sees))
		return
	}
	for i, x := range mine {
		got, want := x.method+" "+x.target, r.expand(sees[i])
		if x.method == "GET" && r.kind == Mapped { // a HEAD is that of what is made of a GET's answer
			want = strings.Replace(want, "HEAD ", "GET ", 1)
		}
		if w.Sees != nil {
			got += " " + string(x.body)
		}
		if !x.whole && r.kase.Serve == nil && !strings.HasPrefix(r.kase.Answer, "<EARLY>") {
			r.fail("the upstream got a request that was cut")
		} else if strings.TrimSpace(got) != strings.TrimSpace(want) {
			r.fail("the upstream got %q, want %q", clip(got), clip(want))
		}
	}
	if len(mine) > 0 {
		r.checkFields("the upstream got", append(mine[0].fields, mine[0].trailer...), w.SeesHas, w.SeesNot)
	}
}

func (r *run) checkFields(who string, fields, has, not []string) {
	for _, f := range has {
		if !hasField(fields, r.expand(f)) {
			r.fail("%s no field %q", who, f)
		}
	}
	for _, f := range not {
		if hasField(fields, f) {
			r.fail("%s the field %q", who, f)
		}
	}
}

// hasField reports whether a field is there: by name, or, with a colon, by its value too,
// of which * may stand for the beginning.
func hasField(fields []string, wanted string) bool {
	return slices.ContainsFunc(fields, func(f string) bool {
		name, value, _ := strings.Cut(f, ": ")
		n, v, whole := strings.Cut(wanted, ": ")
		return strings.EqualFold(name, n) && (!whole || value == v || v != "" && v[0] == '*' && strings.HasSuffix(value, v[1:]))
	})
}

func (r *run) checkAnswers(w Want) {
	for _, want := range w.Interim {
		if !slices.ContainsFunc(r.interim, func(m *message) bool { return strings.HasPrefix(m.start, "HTTP/1.1 "+want) }) {
			r.fail("no interim answer %s", want)
		}
	}
	if w.Cut && (len(r.answers) == 0 || !r.answers[0].whole) {
		return
	}
	wanted := max(len(w.Sees), 1)
	if len(r.answers) != wanted {
		r.fail("%d answers, want %d; then %v", len(r.answers), wanted, r.end)
		return
	}
	for i, m := range r.answers {
		if len(w.Sees) > 0 && r.kase.Answer == "" && r.kase.Serve == nil && len(m.body) > 0 && len(r.seen) > 0 {
			method, rest, _ := strings.Cut(r.expand(w.Sees[i]), " ")
			target, _, _ := strings.Cut(rest, " ")
			if saw := m.saw().Saw; saw != method+" "+target {
				r.fail("answer %d is to %q", i, saw)
			}
		}
	}
	m := r.answers[0]
	code, _ := m.status()
	allowed := w.Status
	switch {
	case w.Fallback:
		if allowed = []int{200}; len(m.body) > 0 && m.saw().Side != legacySide {
			r.fail("not answered by the legacy side")
		}
	case w.Cut:
		allowed = append(allowed, 502, 504)
	case len(allowed) == 0:
		allowed = []int{200}
	}
	for _, m := range r.answers {
		if code, _ := m.status(); !slices.Contains(allowed, code) {
			r.fail("status %d, want %v", code, allowed)
		}
	}
	if w.Fallback || w.Cut || len(r.problems) > 0 || code != allowed[0] {
		return
	}
	if !m.whole {
		r.fail("the answer was cut")
	}
	r.checkFields("the client got", m.fields, w.Has, w.Not)
	r.checkFields("the client got trailing", m.trailer, w.Trailer, nil)
	if body := strings.ReplaceAll(w.Body, "{json}",
		r.expand("{json}")); body == "-" && len(m.body) > 0 || w.Body != "" && body != "-" && body != m.text() {
		r.fail("the body is %q, want %q", clip(string(m.body)), clip(body))
	}
}

func (r *run) got() string {
	var out []string
	for _, m := range append(slices.Clone(r.interim), r.answers...) {
		out = append(out, fmt.Sprintf("%q with %q", clip(string(m.raw)), clip(string(m.body))))
	}
	if len(out) == 0 {
		out = []string{"nothing"}
	}
	if r.canary {
		return strings.Join(out, ", ") + ", and the next answer"
	}
	if r.end != nil && r.end != io.EOF {
		return fmt.Sprintf("%s, then %v", strings.Join(out, ", "), r.end)
	}
	return strings.Join(out, ", ") + ", then the end"
}

func (r *run) saw() string {
	var out []string
	for _, x := range r.seen {
		cut := ""
		if !x.whole {
			cut = ", cut"
		}
		out = append(out, fmt.Sprintf("%q with %q%s (%s side)", clip(string(x.raw)), clip(string(x.body)), cut, x.side))
	}
	return strings.Join(append(out, "got no more"), ", ")
}
