package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// post sends one good event and gives the status.
func (w *world) post(url, id string) (int, string) {
	w.t.Helper()
	body := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/l","type":"t","partitionkey":"ada","data":{}}`, id)
	res, err := w.http.Post(url, "application/cloudevents+json", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Detail string
		Events []struct{ Kept string }
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		w.t.Error(err)
	}
	if len(answer.Events) != 1 {
		return res.StatusCode, answer.Detail
	}
	return res.StatusCode, answer.Events[0].Kept
}

// TestServeToTheEnd: it is ready, counts, and ends gracefully under load: whoever
// got an acknowledgement finds the event on the stream, in order.
func TestServeToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults("delay 30ms; kinesis.PutRecords throttle=0.05 partial=0.1 timeout-after=0.02")
	p := w.serve(nil, "--listen=127.0.0.1:0")
	if status, text := w.admin(p, "/readyz"); status != 200 {
		t.Errorf("ready: %d %s", status, text)
	}
	if status, _ := w.admin(p, "/healthz"); status != 200 {
		t.Errorf("healthy: %d", status)
	}
	load := w.newLoad(p.url(), 12)
	w.eventually("load", func() bool { return load.count() > 300 })
	var metrics serveMetrics
	_, text := w.admin(p, "/metrics.json")
	if err := json.Unmarshal([]byte(text), &metrics); err != nil || metrics.Sidecar.Kept < 300 ||
		metrics.Publisher.Events < metrics.Sidecar.Kept || metrics.Spool != nil {
		t.Errorf("metrics: %s, %v", text, err)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	load.end()
	if err := load.missing(w.read()); err != nil {
		t.Error(err)
	}
	if status, text := w.post(p.url(), "late"); status != 0 || !strings.Contains(text, "refused") {
		t.Errorf("after the end: %d %s", status, text)
	}
}

// TestUnreachable: callers are told, readiness goes, and at the end there is an
// account of what was not sent.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil, "--listen=127.0.0.1:0", "--timeout=200ms", "--drain-timeout=100ms")
	w.faults("kinesis.PutRecords internal=1")
	if status, kept := w.post(p.url(), "1"); status != 503 || kept != "unknown" {
		t.Errorf("%d %s", status, kept)
	}
	w.eventually("not ready", func() bool { status, _ := w.admin(p, "/readyz"); return status == 503 })
	if code := p.end(syscall.SIGTERM); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if want := "1 events not known to be in stream \"facts\" (1 of them were sent with unknown outcome)"; !strings.Contains(p.log(), want) {
		t.Errorf("the account is missing: %s", p.log())
	}
}

// TestReadyAgain: what could not be sent is sent when it can, and then it is ready.
func TestReadyAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil, "--listen=127.0.0.1:0", "--timeout=200ms")
	w.faults("kinesis.PutRecords internal=1")
	if status, _ := w.post(p.url(), "1"); status != 503 {
		t.Errorf("status %d", status)
	}
	w.eventually("not ready", func() bool { status, _ := w.admin(p, "/readyz"); return status == 503 })
	w.faults("")
	w.eventually("ready", func() bool { status, _ := w.admin(p, "/readyz"); return status == 200 })
	if all := w.read(); len(all) != 1 || all[0].ID != "1" {
		t.Errorf("%+v", all)
	}
	if code := p.end(os.Interrupt); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

// TestNotReadyWhileStopping: the admin address tells it while requests are answered.
func TestNotReadyWhileStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil, "--listen=127.0.0.1:0", "--timeout=1m")
	w.faults("kinesis.PutRecords internal=1")
	answered := make(chan int, 1)
	go func() {
		status, _ := w.post(p.url(), "1")
		answered <- status
	}()
	w.eventually("pending", func() bool { _, text := w.admin(p, "/metrics.json"); return strings.Contains(text, `"pending":1`) })
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	w.eventually("stopping", func() bool { _, text := w.admin(p, "/readyz"); return strings.Contains(text, "stopping") })
	w.faults("")
	if status := <-answered; status != 200 {
		t.Errorf("the request inside got %d", status)
	}
	if code := p.end(nil); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

// TestSocket: only its owner may use it, a killed sidecar does not hinder the next,
// and it is gone at the end.
func TestSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "publish.sock")
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	w.http = &http.Client{Transport: transport}
	p := w.serve([]string{"BANYAN_PUBLISH_SOCKET=" + path})
	if len(p.where.Events) != 1 || p.where.Events[0] != path {
		t.Errorf("listens on %q", p.where.Events)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if status, kept := w.post("http://sidecar/events", "1"); status != 200 || kept != "stream" {
		t.Errorf("%d %s", status, kept)
	}
	p.end(syscall.SIGKILL)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("it was killed: %v", err)
	}
	p = w.serve([]string{"BANYAN_PUBLISH_SOCKET=" + path}, "--socket-mode=0660")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	if status, kept := w.post("http://sidecar/events", "2"); status != 200 || kept != "stream" {
		t.Errorf("%d %s", status, kept)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there")
	}
}

// TestRemote needs a word, and warns.
func TestRemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil, "--listen=0.0.0.0:0", "--allow-remote")
	if !strings.Contains(p.log(), "no authentication") {
		w.eventually("warning", func() bool { return strings.Contains(p.log(), "no authentication") })
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}
