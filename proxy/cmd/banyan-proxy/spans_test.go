package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/telemetry/spans/spanstest"
)

// TestServeSendsSpans serves as the environment says: what waits is sent before it ends.
func TestServeSendsSpans(t *testing.T) {
	collector := spanstest.New(t)
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	routes := filepath.Join(t.TempDir(), "routes.yaml")
	if err := os.WriteFile(routes, []byte("version: 1\nlegacy: old\nupstreams: {old: {url: "+old.URL+"}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_SERVICE_NAME", "edge")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // it is the end that has them sent
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, stderr := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		args := []string{"serve", "--routes", routes, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
		ended <- newCommand().Execute(ctx, args, io.Discard, stderr)
		stderr.Close()
	}()
	lines := bufio.NewScanner(logs)
	var serving struct{ Msg, Address, Admin string }
	for serving.Msg != "serving" {
		if !lines.Scan() {
			t.Fatal("it does not serve")
		}
		_ = json.Unmarshal(lines.Bytes(), &serving)
	}
	go io.Copy(io.Discard, logs)
	get := func(url string) string {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return string(text)
	}
	get("http://" + serving.Address + "/x")
	if text := get("http://" + serving.Admin + "/metrics"); !strings.Contains(text, `banyan_spans_total{outcome="sent"} 0`) {
		t.Error(text)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if all := collector.Spans(); len(all) != 2 || !strings.Contains(collector.Batches()[0].Resource.String(), "edge") {
		t.Error(all)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")
	var out bytes.Buffer
	code := newCommand().Execute(t.Context(), []string{"serve", "--routes", routes}, &out, &out)
	if code != 2 || !strings.Contains(out.String(), "http://localhost:4318") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}
