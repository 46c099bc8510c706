package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// TestMetrics: a run serves what a Prometheus reads, on loopback alone.
func TestMetrics(t *testing.T) {
	s := start(t)
	s.seed(20)
	expect(t, 0, "", "init")
	expect(t, 0, "", "encapsulate --watch 1ms --no-members --accept-gap")
	expect(t, 2, "must be of loopback", "run --metrics 0.0.0.0:9464")
	expect(t, 2, "must be of loopback", "run --metrics 9464")

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	address := make(chan string, 1)
	errs := &watching{}
	errs.text, errs.then = "/metrics\n", func() {
		select {
		case address <- regexp.MustCompile(`http://\S+`).FindString(errs.String()):
		default:
		}
	}
	ended := make(chan int, 1)
	go func() {
		ended <- newCommand().Execute(ctx, []string{"run", "--json", "--metrics", "127.0.0.1:0"}, io.Discard, errs)
	}()
	url, text := <-address, ""
	for ctx.Err() == nil && (!strings.Contains(text, `banyan_migrate_way_back_lag_seconds{entity="users"} `) ||
		!strings.Contains(text, `banyan_migrate_verification_mismatches{entity="users"} 0`)) {
		if resp, err := http.Get(url); err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			text = string(body)
		}
		time.Sleep(50 * time.Millisecond)
	}
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{`banyan_migrate_phase{entity="users",phase="shadowing"} 1`, `banyan_migrate_documents_copied{entity="users"} 20`,
		"# TYPE banyan_migrate_changes_total counter", `banyan_migrate_changes_lag_seconds{entity="users"} `} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	stop()
	if code := <-ended; code != exitStopped {
		t.Errorf("exit %d\n%s", code, errs)
	}
}

// TestFiguresArePushedToACollector: by the variables of OpenTelemetry; a collector that fails
// costs the run nothing.
func TestFiguresArePushedToACollector(t *testing.T) {
	s := start(t)
	s.seed(20)
	expect(t, 0, "", "init")
	expect(t, 0, "", "encapsulate --watch 1ms --no-members --accept-gap")
	answer, last, token := http.StatusServiceUnavailable, &metricspb.MetricsData{}, ""
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		data := &metricspb.MetricsData{} // as an ExportMetricsServiceRequest
		if err = cmp.Or(err, proto.Unmarshal(body, data)); err != nil || r.URL.Path != "/v1/metrics" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %v: %v", r.URL, r.Header, err)
		}
		last, token = data, r.Header.Get("Authorization")
		w.WriteHeader(answer)
	}))
	t.Cleanup(collector.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc")
	expect(t, 0, "answered 503 Service Unavailable", "run --until shadowing --otlp-interval 600000")
	answer = http.StatusOK
	expect(t, 0, "20 documents copied", "run --until shadowing --otlp-interval 600000")
	found := map[string]*metricspb.NumberDataPoint{}
	for _, m := range last.ResourceMetrics[0].ScopeMetrics[0].Metrics {
		if points := append(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()...); len(points) == 1 {
			found[m.Name] = points[0]
		}
	}
	copied := found["banyan_migrate_documents_copied"]
	if copied.GetAsDouble() != 20 || copied.Attributes[0].Key != "entity" || copied.Attributes[0].Value.GetStringValue() != "users" {
		t.Error(last)
	}
	if found["banyan_migrate_changes_total"] == nil || found["banyan_migrate_phase"].GetAsDouble() != 1 || token != "Bearer abc" {
		t.Errorf("%q: %v", token, last)
	}
	for _, args := range []string{"--otlp-endpoint localhost:4317", "--otlp-interval 0", "--otlp-headers abc"} {
		expect(t, 2, "OTEL_", "run "+args)
	}
}
