package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/serving"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// fillSpool puts events of the given sizes into the spool at path.
func fillSpool(path string, sizes ...int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := spool.Open(ctx, spool.Config{Path: path, MaxEventBytes: 4 << 20})
	if err != nil {
		return err
	}
	for i, size := range sizes {
		r, err := s.Enqueue(ctx, events.Event{
			ID: fmt.Sprintf("event-%d", i+1), Source: "/test", Type: "sized", Version: 1, Time: time.Unix(1479729600, 0).UTC(), PartitionKey: "ada",
			Sequence: "01479729600000000000", Data: []byte(`"` + strings.Repeat("x", size) + `"`),
		})
		if err == nil {
			_, err = r.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
	return s.Close(ctx)
}

// TestRefusedEvents: they are told each time, can be tried again where the stream
// was raised, or be deleted.
func TestRefusedEvents(t *testing.T) {
	w := newWorld(t)
	w.setEnvironment()
	file := filepath.Join(t.TempDir(), "spool")
	t.Setenv("BANYAN_PUBLISH_SPOOL", file)
	if err := fillSpool(file, 10, 2_000_000, 20); err != nil {
		t.Fatal(err)
	}
	var in spool.Inspection
	code, stdout, stderr := here(t, "spool", "inspect", "--json", "--entries=1", "--after=2")
	if err := json.Unmarshal([]byte(stdout), &in); code != 0 || err != nil || len(in.Entries) != 1 || in.Entries[0].ID != "event-3" {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	for range 2 { // the second time, nothing is left to send
		var summary drained
		code, stdout, stderr := here(t, "spool", "drain", "--json")
		if err := json.Unmarshal([]byte(stdout), &summary); code != serving.ExitFailure || err != nil || summary.Left != 0 ||
			len(summary.Refused) != 1 || summary.Refused[0].ID != "event-2" || !strings.Contains(stderr, "the stream refused 1 event") {
			t.Errorf("%d %s %s", code, stdout, stderr)
		}
	}
	if code, _, stderr := here(t, "spool", "redrive", "--id=event-1"); code != serving.ExitFailure || !strings.Contains(stderr, "no such refused event") {
		t.Errorf("%d %s", code, stderr)
	}
	if code, stdout, stderr := here(t, "spool", "redrive", "--id=event-2"); code != 0 || !strings.Contains(stdout, "1 event put back") {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	if code, stdout, _ := here(t, "spool", "inspect"); code != 0 ||
		!strings.Contains(stdout, "waiting  1 event, ") || !strings.Contains(stdout, "refused  0 events") {
		t.Errorf("%d %s", code, stdout)
	}
	if code, _, _ := here(t, "spool", "drain"); code != serving.ExitFailure {
		t.Errorf("again refused: %d", code)
	}
	if code, stdout, _ := here(t, "spool", "discard", "--number=4"); code != 0 || stdout != "1 event deleted\n" {
		t.Errorf("%d %s", code, stdout)
	}
	code, stdout, stderr = here(t, "spool", "drain")
	if code != 0 || !strings.HasPrefix(stdout, "sent 0 events in ") {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	if all := w.read(); len(all) != 2 {
		t.Errorf("%d events on the stream", len(all))
	}
}

// TestDrainWithoutSuccess tells how much is left, and why.
func TestDrainWithoutSuccess(t *testing.T) {
	w := newWorld(t)
	w.setEnvironment()
	file := filepath.Join(t.TempDir(), "spool")
	if err := fillSpool(file, 10, 20); err != nil {
		t.Fatal(err)
	}
	w.faults("kinesis.PutRecords internal=1")
	code, stdout, stderr := here(t, "spool", "drain", "--spool="+file, "--give-up-after=4s")
	if code != serving.ExitFailure || !strings.HasPrefix(stdout, "sent 0 events") || !strings.Contains(stdout, "2 left") ||
		!strings.Contains(stderr, "2 events are left") || !strings.Contains(stderr, "sent 0 of 2 events") {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
	w.faults("")
	if code, stdout, _ := here(t, "spool", "drain", "--spool="+file); code != 0 || !strings.HasPrefix(stdout, "sent 2 events") {
		t.Errorf("%d %s", code, stdout)
	}
}

// TestFilesOfOtherProgramsStay: files that are not spools are not changed.
func TestFilesOfOtherProgramsStay(t *testing.T) {
	w := newWorld(t)
	w.setEnvironment()
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	text := writeFile(t, "text", "some text")
	for _, args := range [][]string{{"drain"}, {"inspect"}, {"redrive", "--all"}, {"discard", "--all"}} {
		for path, says := range map[string]string{nowhere: "no such file", text: "not a spool file"} {
			code, _, stderr := here(t, append(append([]string{"spool"}, args...), "--spool="+path)...)
			if code != serving.ExitFailure || !strings.Contains(stderr, says) {
				t.Errorf("%v %s: %d %s", args, path, code, stderr)
			}
		}
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("a spool was made")
	}
	if got, err := os.ReadFile(text); err != nil || string(got) != "some text" {
		t.Errorf("%q, %v", got, err)
	}
}
