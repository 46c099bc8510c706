package sandbox_test

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

// TestCloseEndsFunctionsBehindAPIs: whoever waits for a function that does not
// answer is told that it failed, and Close waits for neither.
func TestCloseEndsFunctionsBehindAPIs(t *testing.T) {
	dir := t.TempDir()
	program, began := filepath.Join(dir, "sleeper"), filepath.Join(dir, "began")
	text := "#!/bin/sh\ntouch '" + began + "'\nsleep 60\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, sandbox.Config{})
	if err := s.CreateFunction(t.Context(), sandbox.Function{Name: "sleeper", File: program}); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	url, err := s.ServeHTTPAPI(t.Context(), "sleeper", "", quiet)
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string)
	go func() {
		resp, err := http.Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		answer <- resp.Status + " " + string(body)
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(began); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the function was not invoked")
		}
	}
	if err := s.Close(); err != nil { // as if it had waited for the function
		t.Error(err)
	}
	if got := <-answer; !strings.HasPrefix(got, "500 ") {
		t.Errorf("the client was told %s", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if _, err := s.ServeHTTPAPI(t.Context(), "sleeper", "", quiet); err == nil {
		t.Error("an API began after the end")
	}
}
