// Package spanstest is a collector of OpenTelemetry for tests: it takes spans by OTLP over HTTP.
package spanstest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector keeps what it is sent.
type Collector struct {
	URL string

	mu       sync.Mutex
	requests []*http.Request
	batches  []*tracepb.ResourceSpans
}

// New starts a collector that ends with the test.
func New(t testing.TB) *Collector {
	c := &Collector{}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.URL = s.URL
	return c
}

// ServeHTTP takes an export request.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var data tracepb.TracesData // the same bytes as an ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.batches = append(c.requests, r), append(c.batches, data.ResourceSpans...)
}

// Requests are those that were answered, without their bodies.
func (c *Collector) Requests() []*http.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// Batches are all spans that came, with the resources that they are of.
func (c *Collector) Batches() []*tracepb.ResourceSpans {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.batches
}

// Spans are all spans that came.
func (c *Collector) Spans() (all []*tracepb.Span) {
	for _, batch := range c.Batches() {
		for _, scope := range batch.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

// Attributes are a span's, as text.
func Attributes(s *tracepb.Span) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			all[a.Key] = strconv.FormatBool(v.BoolValue)
		}
	}
	return all
}
