package proxy_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/upstream"
)

// TestHungUpstreamDoesNotCostEveryRequestItsTimeout: after ten requests without an answer the
// API is asked once a second, and the legacy side answers at once.
func TestHungUpstreamDoesNotCostEveryRequestItsTimeout(t *testing.T) {
	w := newWorld(t)
	var asked atomic.Int64
	w.new = func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}
	w.swap(`
version: 1
legacy: old
upstreams:
  old: {url: "${OLD_URL}"}
  new: {url: "${NEW_URL}"}
routes:
  - {name: a, method: GET, path: /a, mode: forward, upstream: new, public: true, fallback: legacy, timeouts: {firstByte: 100ms}}
`)
	began := time.Now()
	for range 30 {
		if got := w.do("GET", "/a", "", ""); got.status != 200 || !strings.HasPrefix(got.body, "old") {
			t.Fatal(got)
		}
	}
	// One whose time was over before it arrived, on a machine that stalls, is not counted here.
	if probes := int64(time.Since(began)/time.Second) + 1; asked.Load() < 5 || asked.Load() > 10+probes {
		t.Errorf("the API was asked %d times for 30 requests", asked.Load())
	}
	rec := httptest.NewRecorder()
	proxy.Admin(w.proxy, nil, "").ServeHTTP(rec, httptest.NewRequest("GET", "/upstreams", nil))
	var state map[string][]upstream.Status
	if err := json.Unmarshal(rec.Body.Bytes(), &state); err != nil || state["new"][0].Breaker == "closed" || state["old"][0].Breaker != "closed" {
		t.Errorf("%s, %v", rec.Body, err)
	}
}
