package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

const nodeApp = "../../sidecar/example-node/app.js"

// nodeAccount is a line that the app prints for an event.
type nodeAccount struct{ ID, Kept, Position string }

func needNode(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
}

// runNode runs the app against url or a socket.
func runNode(t *testing.T, where string) (all []nodeAccount, complaint string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", nodeApp, where)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, stderr.String())
	}
	for d := json.NewDecoder(&stdout); d.More(); {
		var a nodeAccount
		if err := d.Decode(&a); err != nil {
			t.Error(err)
			break
		}
		all = append(all, a)
	}
	return all, stderr.String()
}

// checkNode compares what the app was told with what is on the stream.
func checkNode(t *testing.T, told []nodeAccount, complaint string, all []events.Event) {
	t.Helper()
	var first []events.Event
	seen := map[string]bool{}
	for _, e := range all {
		if !seen[e.ID] {
			first = append(first, e)
		}
		seen[e.ID] = true
	}
	if len(told) != 24 || len(first) != 24 {
		t.Fatalf("%d accounts, %d events", len(told), len(first))
	}
	for i, a := range told {
		if a.ID != first[i].ID || a.Kept != "stream" || a.Position == "" {
			t.Errorf("event %d: told %+v, on the stream %s", i, a, first[i].ID)
		}
	}
	p, err := social.Registry().Decode(first[0])
	if joined, ok := p.(social.UserJoined); err != nil || !ok || joined.Name != "Zoë" {
		t.Errorf("%+v, %v", p, err)
	}
	if !strings.Contains(complaint, "partitionkey: required") {
		t.Errorf("the refused event: %q", complaint)
	}
}

// TestNodeApp runs the example for real: what it was told to be kept is on the
// stream, in its order, although the sidecar answers with 503 at first and the app
// has to repeat.
func TestNodeApp(t *testing.T) {
	t.Parallel()
	needNode(t)
	w := newWorld(t)
	p := w.serve(nil, "--listen=127.0.0.1:0", "--timeout=1s")
	w.faults("kinesis.PutRecords internal=1")
	var told []nodeAccount
	var complaint string
	done := make(chan struct{})
	go func() {
		defer close(done)
		told, complaint = runNode(t, p.url())
	}()
	w.eventually("503", func() bool { return strings.Contains(p.log(), "events not known to be kept") })
	w.faults("delay 10ms; kinesis.PutRecords partial=0.2 throttle=0.1 timeout-after=0.1")
	<-done
	w.faults("")
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	checkNode(t, told, complaint, w.read())
}

// TestNodeAppOverASocket uses node:http.
func TestNodeAppOverASocket(t *testing.T) {
	t.Parallel()
	needNode(t)
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "publish.sock")
	w.serve(nil, "--socket="+path)
	told, complaint := runNode(t, path)
	checkNode(t, told, complaint, w.read())
}
