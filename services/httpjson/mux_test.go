package httpjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/services/httpjson"
)

func TestMux(t *testing.T) {
	var log bytes.Buffer
	mux := httpjson.NewMux(httpjson.MuxConfig{
		Problems: httpjson.Problems{httpjson.WithDetail(errGone, "gone", "Gone", http.StatusGone)},
		Timeout:  time.Hour,
		Logger:   slog.New(slog.NewJSONHandler(&log, nil)),
	})
	mux.Handle("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) error {
		if _, ok := r.Context().Deadline(); !ok {
			t.Error("a request without a deadline")
		}
		switch id := r.PathValue("id"); id {
		case "1":
			return fmt.Errorf("order %s is %w", id, errGone)
		case "2":
			return errors.New("a secret")
		case "3":
			return context.Canceled
		}
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"id": r.PathValue("id"), "correlation": correlation.From(r.Context()).CorrelationID})
		return nil
	})
	for _, c := range []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/orders/0", 200, `"correlation":"c-1"`},
		{"HEAD", "/orders/0", 200, ""},
		{"GET", "/orders/a%2Fb", 200, `"id":"a/b"`},
		{"GET", "/orders/1", 410, `"detail":"order 1 is gone"`},
		{"GET", "/orders/2", 500, `"/problems/internal"`},
		{"GET", "/orders/3", 499, `"/problems/cancelled"`},
		{"PUT", "/orders/0", 405, `"/problems/method"`},
		{"GET", "/nowhere", 404, `"/problems/no-route"`},
		{"GET", "/orders/0/more", 404, `"/problems/no-route"`},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set(correlation.HeaderCorrelation, "c-1")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.contains) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
		if got := w.Header().Get("Allow"); c.status == 405 && got != "GET, HEAD" {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, got)
		}
	}
	if mux.Requests() != 9 || mux.Failures() != 1 {
		t.Errorf("%d requests, %d failures", mux.Requests(), mux.Failures())
	}
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil || line["error"] != "a secret" || line["correlation_id"] != "c-1" {
		t.Errorf("logged %s: %v", log.Bytes(), err)
	}
}
