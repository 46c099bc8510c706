package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWarningsBeforeAFailure: the last warnings of each log, in their order.
func TestWarningsBeforeAFailure(t *testing.T) {
	dir, at := t.TempDir(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	line := func(before time.Duration, level, msg string) string {
		return fmt.Sprintf("{\"time\":%q,\"level\":%q,\"msg\":%q}\n", at.Add(-before).Format(time.RFC3339Nano), level, msg)
	}
	for name, text := range map[string]string{
		"users.log": line(time.Hour, "ERROR", "long ago") + "panic: no JSON\n" + line(time.Second, "ERROR", "second") + line(-time.Second, "ERROR", "later"),
		"functions.log": "timeline: " + line(1500*time.Millisecond, "WARN", "first") + line(time.Second, "INFO", "fine") +
			"timeline: " + line(0, "WARN", strings.Repeat("x", 2*maxLineBytes)),
		"users.yaml": line(time.Second, "ERROR", "no log"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := warningsBefore(dir, at)
	for i, want := range []string{"functions.log: timeline: {", "users.log: {"} {
		if len(got) != 3 || !strings.HasPrefix(got[i], want) || !strings.Contains(got[i], []string{"first", "second"}[i]) {
			t.Fatalf("line %d of %q", i, got)
		}
	}
	if n := len(got[2]); n > maxLineBytes+40 {
		t.Errorf("a line of %d bytes", n)
	}
	if err := os.WriteFile(filepath.Join(dir, "many.log"), []byte(strings.Repeat(line(0, "WARN", "again"), 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := warningsBefore(dir, at); len(got) != 3+maxLinesPerLog {
		t.Errorf("%d lines", len(got))
	}
	if warningsBefore(filepath.Join(dir, "absent"), at) != nil {
		t.Error("there are lines in no folder")
	}
}

func TestReproduceCommand(t *testing.T) {
	if got, want := (Config{Chaos: true, Seed: 7, Size: 500, Rate: 20,
		Data: "it's.json"}).reproduceCommand(), `make chaos SEED=7 SIZE=500 RATE=20 DATA='it'\''s.json'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
