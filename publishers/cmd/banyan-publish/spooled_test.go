package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// TestKilledUnderLoad kills the sidecar again and again: what was acknowledged is on
// the stream after the restart, in the order of each key.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults("delay 20ms; kinesis.PutRecords throttle=0.1 partial=0.1 timeout-after=0.05")
	args := []string{"--listen=127.0.0.1:0", "--spool=" + filepath.Join(t.TempDir(), "spool")}
	p := w.serve(nil, args...)
	load := w.newLoad(p.url(), 10)
	for range 3 {
		before := load.count()
		w.eventually("load", func() bool { return load.count() > before+100 })
		p.end(syscall.SIGKILL)
		p = w.serve(nil, args...)
		load.moveTo(p.url())
	}
	before := load.count()
	w.eventually("load after the restart", func() bool { return load.count() > before+20 })
	load.end()
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	if err := load.missing(w.read()); err != nil {
		t.Error(err)
	}
}

// unreachable is an environment in which nobody answers for Kinesis.
func unreachable(t *testing.T) []string {
	return []string{"AWS_ENDPOINT_URL=http://" + linktest.Refusing(t)}
}

// run runs a command to its end.
func (w *world) run(env []string, args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	p := w.command(env, args...)
	code = p.end(nil)
	return code, p.stdout.String(), p.log()
}

// TestStartsWithoutTheStream: with a spool, the sidecar serves while there is no
// Kinesis, tells at its end what is left, and spool drain sends that.
func TestStartsWithoutTheStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "spool")
	p := w.serve(unreachable(t), "--listen=127.0.0.1:0", "--spool="+file, "--drain-timeout=50ms")
	for i := range 3 {
		if status, kept := w.post(p.url(), fmt.Sprint(i)); status != 200 || kept != "spool" {
			t.Errorf("%d %s", status, kept)
		}
	}
	if status, text := w.admin(p, "/readyz"); status != 200 {
		t.Errorf("ready: %d %s", status, text)
	}
	if code, _, stderr := w.run(nil, "spool", "drain", "--spool="+file); code != 1 || !strings.Contains(stderr, "in use") {
		t.Errorf("drain beside the sidecar: %d %s", code, stderr)
	}
	w.eventually("told", func() bool {
		var metrics serveMetrics
		_, text := w.admin(p, "/metrics.json")
		return json.Unmarshal([]byte(text), &metrics) == nil && metrics.Spool.Failing && strings.Contains(metrics.Spool.LastError, "connection refused")
	})
	if code := p.end(syscall.SIGTERM); code != 1 || !strings.Contains(p.log(), "3 events with") ||
		!strings.Contains(p.log(), "banyan-publish spool drain; last failure") {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	code, stdout, stderr := w.run(nil, "spool", "inspect", "--json", "--spool="+file)
	var in spool.Inspection
	if err := json.Unmarshal([]byte(stdout), &in); code != 0 || err != nil || in.Events != 3 || in.Entries[2].ID != "2" {
		t.Errorf("inspect: %d %s %s %v", code, stdout, stderr, err)
	}
	code, stdout, stderr = w.run(nil, "spool", "drain", "--spool="+file)
	if code != 0 || !strings.HasPrefix(stdout, "sent 3 events in ") {
		t.Errorf("drain: %d %s %s", code, stdout, stderr)
	}
	if all := w.read(); len(all) != 3 || all[0].ID != "0" || all[2].ID != "2" {
		t.Errorf("%+v", all)
	}
}

// TestSpoolFillsUp: it is not ready before callers are refused, and is again when
// there is space.
func TestSpoolFillsUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.serve(nil, "--listen=127.0.0.1:0", "--spool="+filepath.Join(t.TempDir(), "spool"), "--spool-when-full=refuse", "--spool-max-events=10")
	w.faults("kinesis.PutRecords internal=1")
	for i := range 9 {
		if status, text := w.post(p.url(), fmt.Sprint(i)); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	if status, text := w.admin(p, "/readyz"); status != 503 || !strings.Contains(text, "nearly full: 9 events") {
		t.Errorf("ready: %d %s", status, text)
	}
	w.post(p.url(), "9")
	if status, kept := w.post(p.url(), "10"); status != 503 || kept != "no" {
		t.Errorf("full: %d %s", status, kept)
	}
	var metrics serveMetrics
	if _, text := w.admin(p, "/metrics.json"); json.Unmarshal([]byte(text), &metrics) != nil || metrics.Spool.Events != 10 || metrics.Spool.OldestMS == 0 {
		t.Errorf("metrics: %s", text)
	}
	w.faults("")
	w.eventually("ready", func() bool { status, _ := w.admin(p, "/readyz"); return status == 200 })
	if status, kept := w.post(p.url(), "10"); status != 200 {
		t.Errorf("%d %s", status, kept)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	if all := w.read(); len(all) < 11 || all[len(all)-1].ID != "10" {
		t.Errorf("%d events on the stream", len(all))
	}
}

// TestSpoolWithoutRights: the sidecar goes on to take events in, says in its
// metrics and at its end why they stay, and so does spool drain.
func TestSpoolWithoutRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults("kinesis.PutRecords denied=1")
	file := filepath.Join(t.TempDir(), "spool")
	p := w.serve(nil, "--listen=127.0.0.1:0", "--spool="+file, "--drain-timeout=50ms")
	for i := range 3 {
		if status, kept := w.post(p.url(), fmt.Sprint(i)); status != 200 || kept != "spool" {
			t.Errorf("%d %s", status, kept)
		}
	}
	w.eventually("told", func() bool {
		var metrics serveMetrics
		_, text := w.admin(p, "/metrics.json")
		return json.Unmarshal([]byte(text), &metrics) == nil && metrics.Publisher != nil && strings.Contains(metrics.Publisher.LastError, "AccessDenied")
	})
	if code := p.end(syscall.SIGTERM); code != 1 || !strings.Contains(p.log(), "3 events with") ||
		!strings.Contains(p.log(), "last failure: publishers/kinesis: put records") {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	code, _, stderr := w.run(nil, "spool", "drain", "--spool="+file, "--give-up-after=4s")
	if code != 1 || strings.Count(stderr, "AccessDenied") < 2 || !strings.Contains(stderr, "3 events are left") {
		t.Errorf("drain: %d %s", code, stderr)
	}
	w.faults("")
	if code, stdout, stderr := w.run(nil, "spool", "drain", "--spool="+file); code != 0 {
		t.Errorf("drain: %d %s %s", code, stdout, stderr)
	}
	if got := ids(w.read()); strings.Join(got, "") != "012" {
		t.Errorf("%v", got)
	}
}
