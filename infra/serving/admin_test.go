package serving_test

import (
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/banyan-fig/banyan/infra/serving"
)

func TestAdmin(t *testing.T) {
	var inTheWay error
	h := serving.Admin(func() error { return inTheWay }, func() any {
		return map[string]any{"owner": "mongodb", "events": 1 << 60, "spool": map[string]float64{"oldest_ms": 0.5}}
	})
	for _, c := range []struct {
		path   string
		ready  error
		status int
		body   string
	}{
		{"/healthz", errors.New("no lease"), 200, "ok\n"},
		{"/readyz", errors.New("no lease"), 503, "no lease\n"},
		{"/readyz", nil, 200, "ready\n"},
		{"/metrics.json", nil, 200, `{"events":1152921504606846976,"owner":"mongodb","spool":{"oldest_ms":0.5}}` + "\n"},
		{"/metrics", nil, 200, "banyan_events 1152921504606846976\nbanyan_spool_oldest_ms 0.5\n"},
	} {
		inTheWay = c.ready
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", c.path, nil))
		if rec.Code != c.status || rec.Body.String() != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.path, rec.Code, rec.Body, c.status, c.body)
		}
	}
}
