package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/proxy/cases"
	"github.com/banyan-fig/banyan/proxy/mapping"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/route"
	"github.com/banyan-fig/banyan/proxy/shadow"
	"github.com/banyan-fig/banyan/proxy/subject"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

// exchange is one request of a client on its way: to one side, and for a safe request that
// failed there to the other.
type exchange struct {
	proxy    *Proxy
	live     *live
	w        http.ResponseWriter
	control  *http.ResponseController
	in       *http.Request
	target   string // path and query as they came
	path     string
	query    string
	trusted  bool // the peer's word on the client is taken
	upgrade  bool // to a web socket
	plan     route.Plan
	ids      correlation.IDs
	who      *string // the subject, once it was asked for
	unknown  error   // why it cannot be told now, where writes are then refused
	body     *clientBody
	idle     time.Duration // that the client may take for a part of a body
	started  time.Time
	allowed  time.Time // when the client was last given time to take a part
	fellBack bool
	failed   bool         // the client got an error of the proxy's own
	sent     int          // the status given to the client; 0: none yet
	tape     *cases.Tape  // records the exchange; nil: it is not
	fallback bool         // the new side failed, and the legacy side is asked
	rawBody  []byte       // the client's, where a mapping needs it; a fallback has no body
	mapBody  mapping.Body // the same, decoded
	spans    *spans       // nil: nobody takes any
}

// side is one of the two that an exchange can be with.
type side struct {
	name     observation.Side
	upstream *upstream.Upstream
	timeouts route.Timeouts
	mapped   *route.Route // whose mapping applies; nil: none
	shadow   bool         // the answer is compared and thrown away
	span     trace.Span   // nil: none, or none yet
	attempt  observation.Observation
}

// bind has the exchange be that of a request.
func (x *exchange) bind(w http.ResponseWriter, r *http.Request) {
	x.w, x.in, x.control = w, r, http.NewResponseController(w)
	x.body = &clientBody{in: r, control: x.control}
}

// serve decides and exchanges.
func (x *exchange) serve() {
	x.ids = correlation.FromHeader(x.in.Header)
	if x.spans != nil {
		x.ids.TraceParent = x.spans.traceParent()
	}
	x.decide()
	f := x.awaitRelease()
	if f == nil && x.unknown != nil && isWrite(x.in.Method) {
		f = &failure{observation.Undecided, x.unknown}
	}
	if f != nil {
		s := x.newSide(x.planned())
		x.fail(s, x.ask(s, func(*side) *failure { return f }))
		return
	}
	if taped := x.taped(); taped != nil {
		defer taped()
	}
	if copied := x.copied(); copied != nil {
		defer copied()
	}
	// A safe request with a body could not be sent a second time.
	if x.plan.Forward && !(route.IsSafe(x.in.Method) && x.body.expected() && x.plan.Route.Fallback) {
		s := x.newSide(observation.New)
		err := x.ask(s, x.roundTrip)
		if err == nil {
			return
		}
		if !s.attempt.FellBack {
			x.fail(s, err)
			return
		}
		if err.cause != observation.Behind {
			x.warn(s, err)
		}
		x.fellBack, x.fallback = true, s.attempt.Failed()
		x.plan.Why = "fell back: " + err.cause.String()
	}
	s := x.newSide(observation.Legacy)
	if err := x.ask(s, x.roundTrip); err != nil {
		x.fail(s, err)
	}
}

// taped begins the record of the exchange, where one is asked for. What it returns ends it.
func (x *exchange) taped() (end func()) {
	if x.tape = x.proxy.recorder.Start(x.plan.RouteName(), x.in); x.tape == nil {
		return nil
	}
	in := *x.in
	w, body := x.tape.Client(x.w, in.Body)
	in.Body = body
	x.bind(w, &in)
	forward := x.plan.Forward
	return func() { x.tape.End(x.subjectIfKnown(), forward, x.failed) }
}

// copied begins a copy of the exchange for the other side, where the route says so. What it
// returns ends the copy.
func (x *exchange) copied() (end func()) {
	r := x.plan.Route
	if r == nil || r.Shadow == nil || r.To == nil {
		return nil
	}
	c := x.proxy.cfg.Shadow.Start(r.Shadow, x.in)
	if c == nil {
		return nil
	}
	in := *x.in
	in.Body = c.Request(in.Body)
	x.bind(c.Writer(x.w), &in)
	return func() {
		primary, other := observation.Legacy, observation.New
		if x.plan.Forward {
			primary, other = other, primary
		}
		var err error
		if x.fellBack || x.failed {
			err = errNotCompared
		}
		c.End(err, x.shadowSide(primary), x.shadowSide(other))
	}
}

// errNotCompared ends the copy of an exchange that was not with the side it was planned for.
var errNotCompared = errors.New("the client had no answer of the route's side")

// shadowSide asks a side as this exchange does, over connections of its own. The answer is
// nobody's: it has no fallback, and nothing of it is remembered.
func (x *exchange) shadowSide(name observation.Side) shadow.Side {
	y := *x
	return shadow.Side{
		Name: name.String(), Legacy: name == observation.Legacy,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			z := y
			z.bind(w, r)
			z.sent, z.rawBody, z.mapBody, z.failed, z.upgrade = 0, nil, mapping.Body{}, false, false
			z.plan.Why, z.tape = "shadow", nil
			if name == observation.New && !z.plan.Route.Public && z.subject() == "" {
				panic(shadow.ErrUnforwarded) // off the client's path: whose it is may need a call
			}
			s := z.newSide(name)
			s.upstream, s.shadow = z.live.shadows[s.upstream.Name()], true
			if f := z.ask(s, z.roundTrip); f != nil {
				z.fail(s, f)
			}
		}),
	}
}

// peer is the address of the client, by the word of a trusted peer or the connection's.
func (x *exchange) peer() string {
	host := x.in.RemoteAddr
	if addr, err := netip.ParseAddrPort(host); err == nil {
		host = addr.Addr().Unmap().String()
	}
	if x.trusted {
		if first, _, _ := strings.Cut(x.in.Header.Get("X-Forwarded-For"), ","); first != "" {
			host = strings.TrimSpace(first)
		}
	}
	return host
}

func (x *exchange) newSide(name observation.Side) *side {
	s := &side{name: name}
	r := x.plan.Route
	if name == observation.New {
		s.upstream, s.timeouts = x.live.upstreams[r.To.Name], r.Timeouts
		if r.Request != nil || r.Response != nil {
			s.mapped = r
		}
	} else {
		s.upstream, s.timeouts = x.live.legacy, x.live.table.Legacy.Timeouts
		if r != nil && r.To == nil {
			s.timeouts = r.Timeouts
		}
	}
	return s
}

// subjectIfKnown is the subject where the route asked for it, "" otherwise.
func (x *exchange) subjectIfKnown() string {
	if x.who == nil {
		return ""
	}
	return *x.who
}

// subject is whose request it is, "" for nobody's that is known.
func (x *exchange) subject() string {
	if x.who == nil {
		var id string
		if x.live.subjects != nil {
			s, err := x.live.subjects.Resolve(x.in)
			if id = s.ID; errors.Is(err, subject.ErrUndecided) {
				x.unknown = err
			}
		}
		x.who = &id
	}
	return *x.who
}

// fallsBack reports whether the legacy side may answer instead.
func (x *exchange) fallsBack(f *failure) bool {
	return x.sent == 0 && x.plan.Route.Fallback && route.IsSafe(x.in.Method) && f.cause.Fault() != observation.Client && f.cause != observation.AnswerUnmappable
}

// ask has exchange send the request to a side, and give its answer to the client. It observes
// what came of it.
func (x *exchange) ask(s *side, exchange func(*side) *failure) *failure {
	began := time.Now()
	s.attempt = observation.Observation{
		Route: x.plan.RouteName(), Upstream: s.upstream.Name(), Side: s.name, Table: x.live.table.Digest, Method: x.in.Method, Host: x.in.Host,
		Path: x.path, Start: began, Why: x.plan.Why, IDs: x.ids, Client: x.live.table.Client.Of(x.in.Header),
		Fallback: x.fallback,
	}
	f := exchange(s)
	o := &s.attempt
	if s.shadow {
		o.Side += observation.ShadowLegacy - observation.Legacy
	}
	o.Subject = x.subjectIfKnown()
	o.Total, o.BytesIn = time.Since(began), x.body.read.Load()
	if f != nil {
		o.Cause, o.Err = f.cause, f.err
		o.FellBack = s.name == observation.New && !s.shadow && x.fallsBack(f)
	}
	o.Sent = x.sent
	if x.spans != nil {
		x.spans.endSide(s)
	}
	for _, sink := range x.proxy.sinks {
		sink.Observe(o)
	}
	return f
}

func (x *exchange) roundTrip(s *side) *failure {
	ctx, dog := watch(x.in.Context())
	defer dog.stop()
	if total := s.timeouts.Total; total > 0 {
		var end context.CancelFunc
		ctx, end = context.WithTimeoutCause(ctx, total, awaitsEnd)
		defer end()
	}
	x.idle = s.timeouts.Idle
	x.body.watched(dog, s.timeouts)
	out, f := x.outbound(ctx, s)
	if f != nil {
		return f
	}
	asked := out.Header.Get(events.HeaderReadAfter)
	switch {
	case !x.body.unfinished() || out.Body != io.ReadCloser(x.body): // nobody reads what is not sent
		dog.expect(awaitsAnswer, s.timeouts.FirstByte)
	case x.body.streams():
		dog.expect(awaitsBody, s.timeouts.Idle)
	} // else the client is awaited, by its own deadline
	if x.body.streams() && x.in.ProtoMajor == 1 {
		_ = x.control.EnableFullDuplex() // an answer may come before the end of the request
	}
	answered := x.tape.Sent(s.upstream.Name(), out)
	answer, err := s.upstream.RoundTrip(out)
	if err != nil {
		return x.classify(ctx, err)
	}
	answered(answer)
	defer answer.Body.Close()
	s.attempt.FirstByte, s.attempt.Status = time.Since(s.attempt.Start), answer.StatusCode
	dog.expect(awaitsBody, s.timeouts.Idle)
	switch {
	case answer.StatusCode == http.StatusSwitchingProtocols:
		return x.tunnel(answer, dog, s)
	case answer.StatusCode == http.StatusPreconditionFailed && asked != "":
		return &failure{observation.Behind, nil}
	case answer.StatusCode >= 500 && s.name == observation.New && x.plan.Route.Fallback && route.IsSafe(x.in.Method):
		return &failure{observation.UpstreamStatus, nil}
	}
	if s.shadow {
		answer.Header.Del(events.HeaderWritten)
	} else {
		x.remember(answer, asked)
	}
	if f := x.deliver(ctx, dog, s, answer); f != nil {
		return f
	}
	if answer.StatusCode >= 500 {
		s.attempt.Cause = observation.UpstreamStatus
	}
	return nil
}

// remember keeps how far the subject's last write is, or that a read model has it.
func (x *exchange) remember(answer *http.Response, asked string) {
	if at := x.proxy.written.Parse(answer.Header.Get(events.HeaderWritten)); !at.IsZero() {
		x.proxy.written.Remember(x.in.Context(), x.subject(), at)
		gives := x.live.table.Everywhere
		if x.plan.Route != nil {
			gives = x.plan.Route.Positions
		}
		if gives {
			x.live.clients.Give(x.w.Header(), x.subject(), at, x.scheme() == "https")
		}
	}
	answer.Header.Del(events.HeaderWritten)
	if asked != "" && answer.StatusCode < 300 {
		x.proxy.written.CaughtUp(x.subject(), x.plan.RouteName(), asked)
	}
}

// scheme is the client's, by the word of a trusted peer or the connection's.
func (x *exchange) scheme() string {
	if x.in.TLS != nil || x.trusted && x.in.Header.Get("X-Forwarded-Proto") == "https" {
		return "https"
	}
	return "http"
}

// classify says why there is no answer.
func (x *exchange) classify(ctx context.Context, err error) *failure {
	if f := x.body.failure(); f != nil {
		return f
	}
	var f *failure
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &f):
		return &failure{f.cause, err}
	case x.in.Context().Err() != nil && (errors.Is(err, context.Canceled) || !x.body.closed.Load()):
		return &failure{observation.ClientGone, err} // else it was the end of our reading that ended the context
	}
	return &failure{causeOf(err), err}
}

// fail tells the client that there is no answer, or breaks its connection where a part of
// one is out already.
func (x *exchange) fail(s *side, f *failure) {
	if f.cause.Fault() != observation.Client {
		x.warn(s, f)
	}
	x.failed = true
	if x.sent != 0 || f.cause == observation.ClientGone {
		panic(http.ErrAbortHandler) // rather than let the client take a part for the whole
	}
	if f.cause == observation.Held || f.cause == observation.Undecided {
		x.w.Header().Set("Retry-After", "1")
	}
	x.refuse(own(f))
}

func (x *exchange) warn(s *side, f *failure) {
	x.proxy.log.WarnContext(x.in.Context(), "an exchange failed", "route", x.plan.RouteName(), "side", s.name.String(),
		"upstream", s.upstream.Name(), "cause", f.cause.String(), "error", f.err, "correlation", x.ids.CorrelationID)
}

// readAfter asks a read model for an answer that has the subject's last write.
func (x *exchange) readAfter(out http.Header) {
	if !x.plan.Route.Follows {
		return
	}
	id := x.subject()
	if at := x.proxy.written.Pending(x.in.Context(), id, x.plan.RouteName(), x.live.clients.Take(x.in, id)); at != "" {
		out.Set(events.HeaderReadAfter, at)
	}
}

// outbound is the request as the side gets it.
func (x *exchange) outbound(ctx context.Context, s *side) (*http.Request, *failure) {
	out := (&http.Request{
		Method: x.in.Method, Host: x.in.Host, Header: x.outboundHeader(s), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: &url.URL{Opaque: x.target}, Body: x.body.reader(), ContentLength: x.in.ContentLength, Trailer: x.in.Trailer,
	})
	if s.name == observation.New {
		out.Host = "" // the new API's own
		x.readAfter(out.Header)
	}
	if x.upgrade {
		out.Header["Connection"], out.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if s.mapped != nil {
		if f := x.mapRequest(out, s); f != nil {
			return nil, f
		}
	}
	if x.spans != nil {
		x.beginSide(s, out)
	}
	return out.WithContext(x.relaying1xx(ctx)), nil
}

// outboundHeader is the client's, without what belongs to its connection and what it cannot
// say, and with what the proxy knows.
func (x *exchange) outboundHeader(s *side) http.Header {
	h := make(http.Header, len(x.in.Header)+6)
	own := named(x.in.Header)
	for name, values := range x.in.Header {
		switch {
		case own[name] || isHopByHop(name) || isOurs(name) || name == "Content-Length" || isAlias(name):
		case !x.trusted && (isForwarding(name) || x.live.subjects.IsReserved(name)):
		default:
			h[name] = values
		}
	}
	if s.shadow {
		h[shadow.HeaderShadow] = []string{"1"}
	}
	x.live.clients.Hide(h)
	if hasToken(x.in.Header["Te"], "trailers") {
		h["Te"], h["Connection"] = []string{"trailers"}, []string{"TE"} // RFC 9110, 10.1.4
	}
	peer := x.in.RemoteAddr
	if addr, err := netip.ParseAddrPort(peer); err == nil {
		peer = addr.Addr().Unmap().String()
	}
	h["X-Forwarded-For"] = []string{strings.Join(append(h["X-Forwarded-For"][:len(h["X-Forwarded-For"]):len(h["X-Forwarded-For"])], peer), ", ")}
	if h["X-Forwarded-Host"] == nil {
		h["X-Forwarded-Host"] = []string{x.in.Host}
	}
	if h["X-Forwarded-Proto"] == nil {
		proto := "http"
		if x.in.TLS != nil {
			proto = "https"
		}
		h["X-Forwarded-Proto"] = []string{proto}
	}
	h[correlation.HeaderCorrelation] = []string{x.ids.CorrelationID}
	h[correlation.HeaderCausation] = []string{x.ids.CausationID}
	return h
}
