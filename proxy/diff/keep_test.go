package diff_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/proxy/diff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// process is a proxy as far as its comparisons go, with a route orders of those rules.
type process struct {
	diff.Book
	keeper *diff.Keeper
}

func (p *process) compare(rules string, paths ...string) {
	c := comparison(200, "5.2", paths...)
	c.Fingerprint = rules
	p.Of("orders").Add(c)
}

func begin(t *testing.T, path, rules string, every time.Duration) *process {
	t.Helper()
	p := &process{}
	p.Of("orders").Use(rules)
	keeper, err := p.Keep(path, every, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	p.keeper = keeper
	return p
}

func (p *process) end(t *testing.T) {
	t.Helper()
	if err := p.keeper.Close(); err != nil {
		t.Error(err)
	}
}

func (p *process) compared() (n int64) {
	for _, c := range p.Of("orders").Report().Counts {
		n += c.Compared
	}
	return n
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": not within a minute")
		}
	}
}

// TestGatesCountOverRestarts: the next process counts on with what the last one saw, unless
// something else is compared now.
func TestGatesCountOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comparisons.json")
	first := begin(t, path, "rules 1", time.Hour)
	first.compare("rules 1", "$.price")
	first.compare("rules 1")
	want := first.Of("orders").Report()
	first.end(t)
	second := begin(t, path, "rules 1", time.Hour)
	if d := cmp.Diff(want, second.Of("orders").Report()); d != "" {
		t.Errorf("the next process has not what the last one had (-want +got):\n%s", d)
	}
	second.compare("rules 1")
	second.end(t)
	third := begin(t, path, "rules 1", time.Hour)
	if n := third.compared(); n != 3 {
		t.Errorf("%d comparisons over three processes, want 3", n)
	}
	third.end(t)
	other := begin(t, path, "rules 2", time.Hour)
	if n := other.compared(); n != 0 {
		t.Errorf("a route with other rules begins with %d comparisons", n)
	}
	other.end(t)
}

// TestProcessesTakeTurns: one that begins before the last has ended gets the file behind it,
// with all in it, and what each saw meanwhile counts once.
func TestProcessesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comparisons.json")
	last := begin(t, path, "rules", time.Hour)
	last.compare("rules")
	next := begin(t, path, "rules", time.Millisecond)
	next.compare("rules")
	last.compare("rules", "$.price")
	if n := next.compared(); n != 1 {
		t.Errorf("it has %d comparisons while the file is another's", n)
	}
	last.end(t)
	until(t, "it takes over", func() bool { return next.compared() == 3 })
	// A process that is killed leaves what was written before.
	until(t, "it is written", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), `"compared":3`)
	})
	next.end(t)
	after := begin(t, path, "rules", time.Hour)
	if f := after.Of("orders").Report().Fields; after.compared() != 3 || len(f) != 1 || f[0].Count != 1 {
		t.Errorf("the process after them has %d comparisons and %+v", after.compared(), f)
	}
	after.end(t)
}

// TestKeepRefusesWhatItDidNotWrite, and leaves it there.
func TestKeepRefusesWhatItDidNotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "comparisons.json")
	if err := os.WriteFile(path, []byte(`{"orders":`), 0o600); err != nil {
		t.Fatal(err)
	}
	var b diff.Book
	if _, err := b.Keep(path, time.Hour, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "move the file away") {
		t.Errorf("got %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != `{"orders":` {
		t.Errorf("the file is now %s", text)
	}
	if _, err := b.Keep(filepath.Join(path, "none"), time.Hour, slog.New(slog.DiscardHandler)); !errors.Is(err, fs.ErrNotExist) && err == nil {
		t.Errorf("a folder that does not exist: %v", err)
	}
}
