package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/consumers/search/projection"
	"github.com/banyan-fig/banyan/infra/ops/function"
)

// TestWritesWhatTheStreamHas gives the function an event as Lambda sends it, before a server that
// answers as OpenSearch does.
func TestWritesWhatTheStreamHas(t *testing.T) {
	var mu sync.Mutex
	var sent string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/_alias/") {
			_, _ = io.WriteString(w, `{"search-1":{"aliases":{"search-w-1":{}}}}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		sent = string(body)
		mu.Unlock()
		_, _ = io.WriteString(w, `{"items":[{"index":{"status":201}}]}`)
	}))
	defer server.Close()
	environment := map[string]string{"SEARCH_TABLE": "books", "SEARCH_TEXT": "title,author", "SEARCH_RANK": "sales",
		"OPENSEARCH_URL": server.URL, "OPENSEARCH_AUTH": "none"}
	parts := function.Parts{Getenv: func(name string) string { return environment[name] }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	h, err := newFunction(parts)
	if err != nil {
		t.Fatal(err)
	}
	var e projection.Event
	const event = `{"Records":[{"eventID":"1","eventName":"MODIFY","eventSource":"aws:dynamodb","dynamodb":{"SequenceNumber":"7",` +
		`"NewImage":{"pk":{"S":"1"},"sk":{"S":"book"},"title":{"S":"Middlemarch"},"sales":{"N":"10"},"rev":{"N":"4"}}}}]}`
	if err := json.Unmarshal([]byte(event), &e); err != nil {
		t.Fatal(err)
	}
	if err := h.(func(context.Context, projection.Event) error)(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{`"_index":"search-w-1"`, `"version":4`, `"version_type":"external"`, `"require_alias":true`, `"words":["middlemarch"]`, `"rank":10`} {
		if !strings.Contains(sent, want) {
			t.Errorf("sent %s, without %s", sent, want)
		}
	}
	for _, missing := range []string{"SEARCH_TABLE", "OPENSEARCH_URL"} {
		value := environment[missing]
		delete(environment, missing)
		if _, err := newFunction(parts); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
		environment[missing] = value
	}
}
