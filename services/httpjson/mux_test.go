package httpjson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// TestMuxOutlivesItsEndpoints answers by a server, where one panics or fails too late.
func TestMuxOutlivesItsEndpoints(t *testing.T) {
	var log bytes.Buffer
	mux := httpjson.NewMux(httpjson.MuxConfig{
		Problems: httpjson.Problems{httpjson.WithDetail(errGone, "gone", "Gone", http.StatusGone)},
		Logger:   slog.New(slog.NewJSONHandler(&log, nil)),
	})
	ok := func(w http.ResponseWriter) { httpjson.WriteJSON(w, http.StatusOK, "whole") }
	for name, serve := range map[string]httpjson.Endpoint{
		"panic": func(http.ResponseWriter, *http.Request) error { panic("index out of range") },
		"no-json": func(w http.ResponseWriter, _ *http.Request) error {
			httpjson.WriteJSON(w, http.StatusOK, make(chan int))
			return nil
		},
		"panic-late": func(w http.ResponseWriter, _ *http.Request) error { ok(w); panic("index out of range") },
		"fail-late":  func(w http.ResponseWriter, _ *http.Request) error { ok(w); return errGone },
		"flush":      func(w http.ResponseWriter, _ *http.Request) error { w.(http.Flusher).Flush(); return errGone },
		"abort":      func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
		"early-hints": func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusEarlyHints)
			return errGone
		},
	} {
		mux.Handle("POST /"+name, serve)
	}
	done := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { done <- struct{}{} }()
		mux.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, c := range []struct {
		name          string
		status        int // 0: the connection was closed
		logged, stack string
	}{
		{"panic", 500, "the endpoint panicked: index out of range", "mux_test.go"},
		{"no-json", 500, "write chan int as JSON", "mux_test.go"},
		{"panic-late", 0, "the endpoint panicked", "mux_test.go"},
		{"fail-late", 0, errGone.Error(), ""},
		{"flush", 0, errGone.Error(), ""},
		{"abort", 0, "", ""},
		{"early-hints", 410, "", ""},
	} {
		log.Reset()
		failures := mux.Failures()
		status, body := 0, []byte(nil)
		response, err := http.Post(server.URL+"/"+c.name, "", nil)
		if err == nil {
			status = response.StatusCode
			if body, err = io.ReadAll(response.Body); err != nil {
				status = 0
			}
			_ = response.Body.Close()
		}
		if status != c.status || status != 0 && !json.Valid(body) {
			t.Errorf("%s: %d %s %v, want %d", c.name, status, body, err, c.status)
		}
		<-done
		var line struct{ Error, Stack string }
		_ = json.Unmarshal(log.Bytes(), &line)
		if !strings.Contains(line.Error, c.logged) || !strings.Contains(line.Stack, c.stack) || (mux.Failures() > failures) != (c.logged != "") {
			t.Errorf("%s: %d failures, logged %s", c.name, mux.Failures()-failures, log.Bytes())
		}
	}
}

func TestRulesHaveAStatusOfErrors(t *testing.T) {
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), `"gone": invalid status 200`) {
			t.Error(v)
		}
	}()
	httpjson.WithoutDetail(errGone, "gone", "Gone", http.StatusOK)
}
