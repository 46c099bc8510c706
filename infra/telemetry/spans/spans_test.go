package spans_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/telemetry/spans"
	"github.com/banyan-fig/banyan/infra/telemetry/spans/spanstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setEnv sets variables of OpenTelemetry; an endpoint that another test's environment has is none.
func setEnv(t *testing.T, env map[string]string) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	for name, value := range env {
		t.Setenv(name, value)
	}
}

func open(t *testing.T, log io.Writer) *spans.Provider {
	t.Helper()
	p, err := spans.Open(t.Context(), "shop", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p
}

// outcomes are the figures.
func outcomes(t *testing.T, p *spans.Provider) map[string]float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(p)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].Metric {
		got[m.Label[0].GetValue()] = m.Counter.GetValue()
	}
	return got
}

func TestOffWhereNothingAsksForSpans(t *testing.T) {
	const endpoint = "http://127.0.0.1:4318"
	for _, env := range []map[string]string{
		{},
		{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "nonsense"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "TRUE"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run("", func(t *testing.T) {
			setEnv(t, env)
			p, err := spans.Open(t.Context(), "shop", slog.New(slog.DiscardHandler))
			if p != nil || err != nil {
				t.Error(env, p, err)
			}
			p.Close(t.Context())
		})
	}
}

func TestValuesThatCannotBeMeant(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT":        "collector:4318",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://",
		"OTEL_EXPORTER_OTLP_PROTOCOL":        "grpc",
		"OTEL_TRACES_EXPORTER":               "zipkin",
		"OTEL_TRACES_SAMPLER":                "parentbased",
		"OTEL_TRACES_SAMPLER_ARG":            "10%",
		"OTEL_BSP_MAX_QUEUE_SIZE":            "0",
		"OTEL_BSP_EXPORT_TIMEOUT":            "30s",
		"OTEL_RESOURCE_ATTRIBUTES":           "production",
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER": "traceidratio"}
			env[name] = value
			setEnv(t, env)
			if p, err := spans.Open(t.Context(), "shop", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%v %v", p, err)
			}
		})
	}
}

func TestDelivered(t *testing.T) {
	c := spanstest.New(t)
	setEnv(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL + "/base", "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=fig%20tree",
		"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
	})
	p := open(t, io.Discard)
	_, span := p.Tracer("test").Start(t.Context(), "one", trace.WithAttributes(attribute.Int("n", 7)))
	span.End()
	p.Close(t.Context())
	all := c.Spans()
	if len(all) != 1 || all[0].Name != "one" || spanstest.Attributes(all[0])["n"] != "7" {
		t.Fatal(all)
	}
	if r := c.Requests()[0]; r.URL.Path != "/base/v1/traces" || r.Header.Get("X-Tenant") != "fig tree" {
		t.Error(r.URL, r.Header)
	}
	about := c.Batches()[0].Resource.String()
	if !strings.Contains(about, "shop") || !strings.Contains(about, "deployment.environment.name") {
		t.Error(about)
	}
	if diff := cmp.Diff(map[string]float64{"sent": 1, "failed": 0, "dropped": 0}, outcomes(t, p)); diff != "" {
		t.Error(diff)
	}
}

func TestOthersOfTheVariables(t *testing.T) {
	c := spanstest.New(t)
	setEnv(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.URL + "/in",
		"OTEL_SERVICE_NAME": "named", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0",
	})
	p := open(t, io.Discard)
	tracer := p.Tracer("test")
	_, unsampled := tracer.Start(t.Context(), "unsampled")
	unsampled.End()
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, Remote: true})
	_, child := tracer.Start(trace.ContextWithRemoteSpanContext(t.Context(), parent), "child of a sampled one")
	child.End()
	p.Close(t.Context())
	all := c.Spans()
	if len(all) != 1 || all[0].Name != "child of a sampled one" || all[0].ParentSpanId[0] != 2 || c.Requests()[0].URL.Path != "/in" {
		t.Fatal(all)
	}
	if about := c.Batches()[0].Resource.String(); !strings.Contains(about, "named") || strings.Contains(about, "shop") {
		t.Error(about)
	}
}

// buffer is a log.
type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// A collector that is not there, does not answer, or answers what it likes costs spans and
// nothing else: ending one never waits, what waits is bounded, and each is counted.
func TestCollectorsThatFail(t *testing.T) {
	serve := func(h http.HandlerFunc) func(*testing.T) string {
		return func(t *testing.T) string {
			s := httptest.NewServer(h)
			t.Cleanup(s.Close)
			return s.URL
		}
	}
	garbage := strings.Repeat("\xff<garbage>", 100_000)
	for name, start := range map[string]func(*testing.T) string{
		"refused": func(t *testing.T) string { return "http://127.0.0.1:1" },
		"hung": func(t *testing.T) string { // it takes connections, and never reads
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return "http://" + l.Addr().String()
		},
		"garbage": serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			io.WriteString(w, garbage)
		}),
		"garbage and 400": serve(func(w http.ResponseWriter, r *http.Request) { http.Error(w, garbage, http.StatusBadRequest) }),
		"429 for an hour": serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}),
		"cut": serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		t.Run(name, func(t *testing.T) {
			const limit, ended = 100, 5000
			setEnv(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": start(t), "OTEL_EXPORTER_OTLP_TIMEOUT": "3600000", "OTEL_BSP_EXPORT_TIMEOUT": "3600000",
				"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10",
			})
			var log buffer
			p := open(t, &log)
			tracer := p.Tracer("test")
			for range ended {
				_, span := tracer.Start(t.Context(), "one")
				span.End()
			}
			now, cancel := context.WithCancel(t.Context())
			cancel()
			p.Close(now) // it gives up at once
			got := outcomes(t, p)
			if got["sent"] != 0 || got["failed"] < limit || got["failed"]+got["dropped"] != ended {
				t.Error(got)
			}
			if name == "hung" && got["failed"] != limit {
				t.Errorf("%v, and %d may wait", got, limit)
			}
			if text := log.String(); strings.Count(text, "not delivered") != 1 || len(text) > 2000 {
				t.Errorf("%d bytes of log: %.500s", len(text), text)
			}
		})
	}
}

// The log says once that a collector fails, and once that it does so no longer.
func TestRecovery(t *testing.T) {
	c := spanstest.New(t)
	failing := true
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failing {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		c.ServeHTTP(w, r)
	}))
	defer front.Close()
	setEnv(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": front.URL})
	var log buffer
	p := open(t, &log)
	for i := range 4 {
		failing = i < 2
		_, span := p.Tracer("test").Start(t.Context(), "one")
		span.End()
		if err := p.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p.Close(t.Context())
	if text := log.String(); strings.Count(text, "not delivered") != 1 || strings.Count(text, "delivered again") != 1 || len(c.Spans()) != 2 {
		t.Errorf("%s%v", text, c.Spans())
	}
	if diff := cmp.Diff(map[string]float64{"sent": 2, "failed": 2, "dropped": 0}, outcomes(t, p)); diff != "" {
		t.Error(diff)
	}
}
