package serving_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/serving"
)

// socketClient dials path whatever the URL says.
func socketClient(t *testing.T, path string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func answers(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
}

// TestSocket: it has its mode, answers, and is gone at the end.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := serving.ListenUnix("--socket", path, 0o600, answers("here"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serving.Run(ctx, s) }()
	if got := get(socketClient(t, path), "http://socket/"); got != "here" || s.Addr().String() != path {
		t.Errorf("%q at %s", got, s.Addr())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := serving.ListenUnix("--socket", path, 0o600, nil); err == nil ||
		!strings.Contains(err.Error(), "another program listens there; remove it or choose another with --socket") {
		t.Errorf("a second one: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestSocketOfAnEndedProcess: what a killed process left behind does not hinder the next.
func TestSocketOfAnEndedProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := serving.ListenUnix("--socket", path, 0o660, answers("here"))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// TestSocketKeepsOthersFiles: neither files nor another's socket are removed.
func TestSocketKeepsOthersFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := serving.ListenUnix("--socket", path, 0o600, nil); err == nil || !strings.Contains(err.Error(), "something else than a socket") {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file is %q, %v", text, err)
	}
	other := filepath.Join(t.TempDir(), "other")
	s, err := serving.ListenUnix("--socket", other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(other), strings.Repeat("x", 90)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := serving.ListenUnix("--socket", filepath.Join(filepath.Dir(other), strings.Repeat("x", 90), "s"), 0o600, nil); err == nil ||
		!strings.Contains(err.Error(), "too long for a socket") {
		t.Errorf("a long name: %v", err)
	}
	if _, err := serving.ListenUnix("--socket", filepath.Join(path, "below"), 0o600, nil); err == nil || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("no folder: %v", err)
	}
}
