package proxy

import (
	"cmp"
	"context"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/banyan-fig/banyan/proxy/observation"
)

// spans are the exchange's own span, and what it knows of those of the sides that it asks. They
// follow OpenTelemetry's conventions for HTTP, but have nothing that a client chose: no query,
// host, header, address or subject, and for the path the route's pattern.
type spans struct {
	tracer trace.Tracer
	ctx    context.Context // with the exchange's span
	side   attribute.KeyValue
	cause  observation.Cause // of the side that was asked last
}

var traceContext propagation.TraceContext

// traced begins the exchange's span. What it returns ends it.
//
// Who may decide on traces is a matter of trust: a client could have all its requests
// recorded, or none. So a trusted peer's span is the parent; another's is a link of a new
// trace, and what it says of sampling and in tracestate is not taken.
func (x *exchange) traced(tracer trace.Tracer) (end func()) {
	ctx, options := context.Background(), []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	theirs := traceContext.Extract(ctx, propagation.HeaderCarrier(x.in.Header))
	if x.trusted {
		ctx = theirs
	} else if c := trace.SpanContextFromContext(theirs); c.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: c.WithTraceState(trace.TraceState{})}))
	}
	ctx, span := tracer.Start(ctx, spanName(x.in.Method), options...)
	x.spans = &spans{tracer: tracer, ctx: ctx}
	return func() {
		if span.IsRecording() {
			x.describe(span)
		}
		span.End()
	}
}

func (x *exchange) describe(span trace.Span) {
	protocol := strconv.Itoa(x.in.ProtoMajor)
	if x.in.ProtoMajor == 1 {
		protocol += "." + strconv.Itoa(x.in.ProtoMinor)
	}
	span.SetAttributes(requestMethod(x.in.Method), semconv.URLScheme(x.scheme()), semconv.NetworkProtocolVersion(protocol),
		attribute.Bool("banyan.fell_back", x.fellBack))
	if r := x.plan.Route; r != nil {
		span.SetName(spanName(x.in.Method) + " " + r.Path())
		span.SetAttributes(semconv.HTTPRoute(r.Path()), semconv.URLPath(r.Path()), routeOf(r.Name))
	}
	if x.spans.side.Valid() {
		span.SetAttributes(x.spans.side)
	}
	outcome(span, x.spans.cause, x.sent, x.sent >= 500 || x.failed && x.spans.cause.Fault() != observation.Client)
}

// traceParent is the exchange's span, in the form of the header.
func (s *spans) traceParent() string {
	carrier := propagation.MapCarrier{}
	traceContext.Inject(s.ctx, carrier)
	return carrier.Get("traceparent")
}

// beginSide begins the span of a side that is about to be asked, which gets it as its parent.
func (x *exchange) beginSide(s *side, out *http.Request) {
	to := x.live.table.Legacy
	if s.name == observation.New {
		to = x.plan.Route.To
	}
	ctx, span := x.spans.tracer.Start(x.spans.ctx, spanName(out.Method), trace.WithSpanKind(trace.SpanKindClient))
	s.span = span
	delete(out.Header, "Tracestate") // belongs to the traceparent that is replaced
	traceContext.Inject(ctx, propagation.HeaderCarrier(out.Header))
	if !span.IsRecording() {
		return
	}
	u := to.Config.URL
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	}
	span.SetAttributes(requestMethod(out.Method), semconv.URLScheme(u.Scheme), semconv.ServerAddress(u.Hostname()), semconv.ServerPort(port))
}

// endSide ends the span of a side. A side that was not asked has none.
func (t *spans) endSide(s *side) {
	o := &s.attempt
	name := attribute.String("banyan.side", o.Side.String())
	if !s.shadow { // which may end long after the exchange
		t.side, t.cause = name, o.Cause
	}
	if s.span == nil {
		return
	}
	if s.span.IsRecording() {
		s.span.SetAttributes(name, attribute.String("banyan.upstream", o.Upstream))
		if o.Route != "" {
			s.span.SetAttributes(routeOf(o.Route))
		}
		outcome(s.span, o.Cause, o.Status, o.Failed())
	}
	s.span.End()
}

// outcome says how it ended; a status of 0 is none. 4xx is no error, also in the span of a side,
// where the conventions would have it be one: the proxy passes on what the client asked for.
func outcome(span trace.Span, cause observation.Cause, status int, failed bool) {
	if status != 0 {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if cause != observation.None {
		span.SetAttributes(attribute.String("banyan.cause", cause.String()))
	}
	if !failed {
		return
	}
	kind := cause.String()
	if kind == "" || cause == observation.UpstreamStatus {
		kind = strconv.Itoa(status)
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, cmp.Or(cause.String(), http.StatusText(status)))
}

func routeOf(name string) attribute.KeyValue { return attribute.String("banyan.route", name) }

// knownMethod is the method, "" for one that the client may have made up.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return ""
}

func requestMethod(method string) attribute.KeyValue {
	return semconv.HTTPRequestMethodKey.String(cmp.Or(knownMethod(method), "_OTHER"))
}

func spanName(method string) string { return cmp.Or(knownMethod(method), "HTTP") }
