package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/embedded"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
)

// TestMain lets bleve have its workers, which it starts when it is linked.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

func open(t *testing.T, dir string) *embedded.Index {
	t.Helper()
	i, err := embedded.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestConforms(t *testing.T) {
	searchtest.Run(t, func(t *testing.T) search.Index {
		i := open(t, t.TempDir())
		t.Cleanup(func() {
			if err := i.Close(); err != nil {
				t.Error(err)
			}
		})
		return i
	})
}

// build builds an index of one document.
func build(t *testing.T, i *embedded.Index) {
	t.Helper()
	b, err := i.Build(t.Context())
	if err == nil {
		err = errors.Join(b.Write(t.Context(), []search.Document{searchtest.Document("a", "oak", 1, 1)}), b.Use(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func finds(t *testing.T, i *embedded.Index) int {
	t.Helper()
	page, err := search.Searcher{Index: i}.Search(t.Context(), "oak", "", 0)
	if err != nil && !errors.Is(err, search.ErrNotBuilt) {
		t.Fatal(err)
	}
	if i.Served() != (err == nil) {
		t.Errorf("served %t, error %v", i.Served(), err)
	}
	return len(page.Hits)
}

// TestWhatAProcessLeaves is served if it is whole, and otherwise removed.
func TestWhatAProcessLeaves(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, dir string)
		want   int
	}{
		"whole": {func(*testing.T, string) {}, 1},
		"a changed byte": {func(t *testing.T, dir string) {
			change(t, file(t, dir, "index-1/store/*.zap"), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, 0},
		"a short file": {func(t *testing.T, dir string) {
			change(t, file(t, dir, "index-1/store/root.bolt"), func(b []byte) []byte { return b[:len(b)/2] })
		}, 0},
		"a lost file": {func(t *testing.T, dir string) { must(t, os.Remove(file(t, dir, "index-1/index_meta.json"))) }, 0},
		"no sums":     {func(t *testing.T, dir string) { must(t, os.Remove(file(t, dir, "kept.json"))) }, 0},
		"sums of nothing": {func(t *testing.T, dir string) {
			change(t, file(t, dir, "kept.json"), func([]byte) []byte { return []byte(`{"format":1,"index":"../x"}`) })
		}, 0},
		"half of the sums": {func(t *testing.T, dir string) {
			change(t, file(t, dir, "kept.json"), func(b []byte) []byte { return b[:len(b)/2] })
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			i := open(t, dir)
			build(t, i)
			must(t, i.Close())
			c.damage(t, dir)
			i = open(t, dir)
			if got := finds(t, i); got != c.want {
				t.Errorf("%d documents are found, want %d", got, c.want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "index-*")); len(left) != c.want {
				t.Errorf("left are %v", left)
			}
			build(t, i)
			if got := finds(t, i); got != 1 {
				t.Errorf("%d documents are found after it was built anew", got)
			}
			must(t, i.Close())
		})
	}
}

// TestACrashLeavesNothingThatIsServed opens what a process used that was killed: a copy of its
// directory, sums of the time before included.
func TestACrashLeavesNothingThatIsServed(t *testing.T) {
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	i := open(t, dir)
	build(t, i)
	must(t, i.Close())
	i = open(t, dir)
	must(t, i.Write(t.Context(), []search.Document{searchtest.Document("b", "oak", 1, 1)}))
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	must(t, i.Close())
	after := open(t, copied)
	if got := finds(t, after); got != 0 {
		t.Errorf("%d documents are found", got)
	}
	must(t, after.Close())
}

func TestDirectoriesThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	i := open(t, dir)
	if _, err := embedded.Open(dir); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a directory in use: %v", err)
	}
	must(t, i.Close())
	other := t.TempDir()
	must(t, os.WriteFile(filepath.Join(other, "thesis.txt"), nil, 0o600))
	if _, err := embedded.Open(other); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a directory with something else: %v", err)
	}
	if _, err := embedded.Open(filepath.Join(other, "thesis.txt")); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestOneIndexIsBuiltAtATime(t *testing.T) {
	i := open(t, t.TempDir())
	b, err := i.Build(t.Context())
	must(t, err)
	if _, err := i.Build(t.Context()); err == nil {
		t.Error("a second one was begun")
	}
	must(t, b.Drop(t.Context()))
	build(t, i)
	must(t, i.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// file is the first of a pattern.
func file(t *testing.T, dir, pattern string) string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(all) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	return all[0]
}

func change(t *testing.T, path string, to func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, to(b), 0o600))
}
