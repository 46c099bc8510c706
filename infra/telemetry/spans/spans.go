// Package spans sends a process's spans to a collector of OpenTelemetry, by OTLP over HTTP.
// OpenTelemetry's own environment variables configure it, and nothing else does:
//
//	tracing, err := spans.Open(ctx, "banyan-proxy", log)
//	if tracing != nil {
//		defer tracing.Close(deadline)
//		cfg.Spans = tracing // a trace.TracerProvider
//	}
//
// It is off where OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT are empty,
// OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none. Beside these, OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG, OTEL_BSP_* and
// OTEL_EXPORTER_OTLP_* mean what OpenTelemetry's specification says; but for gRPC, which is not
// spoken. OTEL_PROPAGATORS is not read: W3C's trace context is what requests carry. X-Ray gets
// spans from a collector: AWS's CloudWatch agent and its distribution of OpenTelemetry's take
// OTLP on port 4318.
//
// Nothing waits for a collector. Spans that are ended wait in a queue of
// OTEL_BSP_MAX_QUEUE_SIZE (2048), those under way included; one that finds it full is dropped.
// A batch that the collector puts off (429, 502 to 504), or does not answer in time, is sent
// again within OTEL_BSP_EXPORT_TIMEOUT (30 s); else it is given up. Both are counted.
//
// # Caveats
//
//   - Spans that end after Close are lost.
//   - On Lambda a process is frozen between invocations: call ForceFlush at the end of each.
//   - It links the exporter's gRPC, 5 to 12 MB: shared packages should import the API
//     (go.opentelemetry.io/otel/trace) alone, and main functions this.
package spans

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Provider is a trace.TracerProvider, and a prometheus.Collector of banyan_spans_total: what
// became of spans, by outcome. It is safe for concurrent use.
type Provider struct {
	*sdktrace.TracerProvider
	prometheus.Collector
	interrupt context.CancelFunc
}

// Open begins to send spans as the environment says, in the name of service unless that says
// another. It returns nil where it is off, and an error where a variable has a value that
// cannot be meant. Whether the collector answers it does not ask: log is told once when spans
// are not delivered, and once when they are again.
func Open(ctx context.Context, service string, log *slog.Logger) (*Provider, error) {
	if on, err := enabled(); err != nil || !on {
		return nil, err
	}
	named := resource.WithAttributes(semconv.ServiceName(service))
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), named, resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("invalid OTEL_RESOURCE_ATTRIBUTES, it must look like name=value,name=value: %w", err)
	}
	client, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make an exporter by OTEL_EXPORTER_OTLP_*: %w", err)
	}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "banyan_spans_total",
		Help: "Spans that were sent to the collector, that it did not take, and that were dropped because too many waited.",
	}, []string{"outcome"})
	closed, interrupt := context.WithCancel(context.Background())
	out := &exporter{
		SpanExporter: client, closed: closed, log: log,
		sent: outcomes.WithLabelValues("sent"), failed: outcomes.WithLabelValues("failed"),
	}
	limit := sdktrace.DefaultMaxQueueSize
	if n, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil {
		limit = n
	}
	queue := &queue{
		SpanProcessor: sdktrace.NewBatchSpanProcessor(out, sdktrace.WithMaxQueueSize(limit)),
		exporter:      out, limit: int64(limit), dropped: outcomes.WithLabelValues("dropped"),
	}
	return &Provider{
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithSpanProcessor(queue)),
		Collector:      outcomes, interrupt: interrupt,
	}, nil
}

// Close sends what waits, and gives up when ctx ends. A nil Provider has nothing to send.
func (p *Provider) Close(ctx context.Context) {
	if p == nil {
		return
	}
	defer p.interrupt()
	defer context.AfterFunc(ctx, p.interrupt)()
	_ = p.Shutdown(context.WithoutCancel(ctx)) // it waits for exports, which the interrupt ends
}

// enabled reports whether there is a collector to send to.
func enabled() (bool, error) {
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	if os.Getenv(name) == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	exporter := cmp.Or(os.Getenv("OTEL_TRACES_EXPORTER"), "otlp")
	if os.Getenv(name) == "" || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" {
		return false, nil
	}
	if u, err := url.Parse(os.Getenv(name)); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false, fmt.Errorf("invalid %s: it must look like http://localhost:4318", name) // it may have a password
	}
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	switch {
	case exporter != "otlp":
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER %q is not supported: use otlp or none", exporter)
	case protocol != "http/protobuf" && protocol != "http/json":
		return false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q is not supported: use http/protobuf, to the collector's port 4318", protocol)
	}
	for _, name := range []string{
		"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT",
		"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
	} {
		if n, err := strconv.Atoi(cmp.Or(os.Getenv(name), "1")); err != nil || n < 1 {
			return false, fmt.Errorf("invalid %s %q: it must be a number of 1 or more", name, os.Getenv(name))
		}
	}
	return true, checkSampler()
}

// checkSampler refuses what the SDK would take for every trace.
func checkSampler() error {
	name, arg := os.Getenv("OTEL_TRACES_SAMPLER"), os.Getenv("OTEL_TRACES_SAMPLER_ARG")
	switch strings.ToLower(name) {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
	case "traceidratio", "parentbased_traceidratio":
		if share, err := strconv.ParseFloat(cmp.Or(arg, "1"), 64); err != nil || !(share >= 0 && share <= 1) {
			return fmt.Errorf("invalid OTEL_TRACES_SAMPLER_ARG %q: it must be a share from 0 to 1", arg)
		}
	default:
		return fmt.Errorf("unknown OTEL_TRACES_SAMPLER %q: use always_on, always_off or traceidratio, with parentbased_ or without", name)
	}
	return nil
}

// queue bounds the spans that wait, those that are being sent included. The SDK's own queue
// counts neither these nor, for anybody to see, what it drops.
type queue struct {
	sdktrace.SpanProcessor
	exporter *exporter
	limit    int64
	dropped  prometheus.Counter
}

// OnEnd implements sdktrace.SpanProcessor.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if q.exporter.waiting.Add(1) > q.limit {
		q.exporter.waiting.Add(-1)
		q.dropped.Inc()
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// exporter sends a batch at a time.
type exporter struct {
	sdktrace.SpanExporter
	waiting      atomic.Int64
	closed       context.Context
	sent, failed prometheus.Counter
	failing      bool
	log          *slog.Logger
}

// maxError bounds what a log line quotes of an error, which has the collector's answer.
const maxError = 300

// ExportSpans implements sdktrace.SpanExporter. It returns no error, since the SDK would write
// each to the standard error.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.closed, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	outcome := e.sent
	if err != nil {
		outcome = e.failed
	}
	outcome.Add(float64(len(spans)))
	switch {
	case err != nil && !e.failing:
		text := err.Error()
		text = strings.ToValidUTF8(text[:min(len(text), maxError)], "")
		e.log.Warn("spans are not delivered; see OTEL_EXPORTER_OTLP_ENDPOINT", "error", text)
	case err == nil && e.failing:
		e.log.Info("spans are delivered again")
	}
	e.failing = err != nil
	return nil
}
