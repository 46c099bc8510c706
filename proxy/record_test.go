package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/cases"
)

// TestRecordedCasesHold records exchanges under traffic and plays what came of them: no secret
// is in a case, and none differs.
func TestRecordedCasesHold(t *testing.T) {
	w := newWorld(t)
	w.swap(`
version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}, new: {url: "${NEW_URL}/base"}}
routes:
  - name: order
    path: /orders/{id}
    mode: forward
    public: true
    upstream: new
    request: {path: "/v1/orders/{id}", body: {text: $.note}}
    response: {body: {title: $.name, owner: $.email, auth: $.token}}
`)
	w.mu.Lock()
	w.new = func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Set-Cookie", "sid=s3cr3t; Path=/")
		name := "Tea"
		if r.URL.Path == "/base/v1/orders/long" {
			name = strings.Repeat("x", cases.MaxBody)
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"name": name, "email": "s3cr3t@example.com", "n": 9007199254740993, "token": "s3cr3t-own"})
	}
	w.mu.Unlock()
	out := w.record("/record?route=order&n=7&for=1m", func(n int) *http.Request {
		id := []string{"7", "long"}[n%2]
		body := strings.NewReader(`{"note":"two","password":"s3cr3t"}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/orders/"+id+"?token=s3cr3t", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer s3cr3t"}, "Cookie": {"a=s3cr3t"}, "X-Kind": {"k"}}
		return req
	})
	if len(out.Cases) != 7 {
		t.Fatalf("got %d cases", len(out.Cases))
	}
	for _, src := range out.Cases {
		c, err := cases.Parse("recorded.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		w.play(c)
		for _, want := range []string{"POST /orders/7?token=(removed) HTTP/1.1", "POST /v1/orders/7", "X-Kind: k", `{"text":"two"}`, "mode: forward"} {
			if !strings.Contains(src, want) {
				t.Errorf("the case has no %q", want)
			}
		}
		if strings.Contains(src, "s3cr3t") || t.Failed() {
			t.Fatalf("a secret, or a difference:\n%s", src)
		}
	}
	if off := (&cases.Recorder{}); testing.AllocsPerRun(100, func() { off.Start("order", nil) }) != 0 {
		t.Error("it allocates while nothing is recorded")
	}
}

// record asks for a recording, and sends until it has ended.
func (w *world) record(target string, next func(n int) *http.Request) (out proxy.Recorded) {
	w.t.Helper()
	done := make(chan *httptest.ResponseRecorder)
	go func() {
		rec := httptest.NewRecorder()
		proxy.Admin(w.proxy, nil, "").ServeHTTP(rec, httptest.NewRequest(http.MethodPost, target, nil))
		done <- rec
	}()
	for n := 0; ; n++ {
		w.send(next(n))
		select {
		case rec := <-done:
			if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil || rec.Code != http.StatusOK {
				w.t.Fatalf("%d %s, %v", rec.Code, rec.Body, err)
			}
			return out
		default:
		}
	}
}

func (w *world) play(c *cases.Case) {
	w.t.Helper()
	result, err := cases.Run(w.t.Context(), w.proxy.Table(), c, openForCases)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range result.Differences {
		w.t.Error(d)
	}
}

// TestRecordBeforeThereIsAMapping: a route with a name and a path is enough to have what the old API
// does, errors and answers without a body too.
func TestRecordBeforeThereIsAMapping(t *testing.T) {
	w := newWorld(t)
	w.swap(`
version: 1
legacy: old
upstreams: {old: {url: "${OLD_URL}"}}
routes: [{name: cart, path: "/cart/{rest...}", mode: legacy}]
`)
	w.old = func(rw http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodDelete:
			rw.WriteHeader(http.StatusNoContent)
		case http.MethodPut:
			http.Error(rw, "closed for lunch", http.StatusServiceUnavailable)
		default:
			rw.Header().Set("Content-Type", "text/xml; charset=utf-8")
			_, _ = io.WriteString(rw, "<cart id='1'/>")
		}
	}
	methods := []string{http.MethodGet, http.MethodDelete, http.MethodPut}
	out := w.record("/record?route=cart&n=6&for=1m", func(n int) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), methods[n%3], w.url+"/cart/1?a=1;b", nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	})
	seen := strings.Join(out.Cases, "")
	for _, want := range []string{"GET /cart/1?a=1;b", "<cart id='1'/>", "204", "closed for lunch", "mode: legacy"} {
		if !strings.Contains(seen, want) {
			t.Errorf("no case has %q:\n%s", want, seen)
		}
	}
	for _, src := range out.Cases {
		c, err := cases.Parse("recorded.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		w.play(c)
	}
}
