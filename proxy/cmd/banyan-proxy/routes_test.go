package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/route/source"
)

// TestRoutesAreChanged goes through the verbs: what get has written is changed, put, seen in
// the history, and taken back; a version that stands no more is refused.
func TestRoutesAreChanged(t *testing.T) {
	dir := t.TempDir()
	served, mine := filepath.Join(dir, "routes.yaml"), filepath.Join(dir, "mine.yaml")
	for _, name := range []string{"NOT_SET_OLD", "NOT_SET_SHOP"} {
		t.Setenv(name, "http://127.0.0.1:9")
	}
	if err := os.WriteFile(served, []byte(testedRoutes), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &proxy.Reloader{Source: source.NewFile(served)}
	table, err := r.First(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Proxy, err = proxy.New(t.Context(), table, proxy.Config{}); err != nil {
		t.Fatal(err)
	}
	defer r.Proxy.Close()
	admin := httptest.NewServer(proxy.Admin(r.Proxy, r, "secret"))
	defer admin.Close()
	run := func(code int, want string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		args = append([]string{"routes"}, append(args, "--admin", admin.URL, "--token", "secret")...)
		if got := newCommand().Execute(t.Context(), args, &out, &out); got != code || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", args, got, code, want, out.String())
		}
		return strings.TrimSpace(out.String())
	}
	change := func(text string) {
		t.Helper()
		if err := os.WriteFile(mine, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(0, "mode: forward", "get")
	first := run(0, table.Digest, "get", "--into", mine)
	change(testedRoutes + "  - {nome: x}\n")
	run(1, ":7:6: ", "put", mine, "--replaces", first, "--why", "a test")
	change(strings.Replace(testedRoutes, "forward", "legacy", 1))
	run(0, "", "put", mine, "--replaces", first, "--why", "a test")
	run(1, "412", "put", mine, "--replaces", first, "--why", "a test")
	history := strings.Split(run(0, "stands", "history"), "\n")
	if len(history) != 3 {
		t.Fatalf("history: %q", history)
	}
	oldest, _, _ := strings.Cut(history[2], " ")
	run(0, "mode: forward", "get", "--of", oldest)
	run(0, first, "rollback", oldest, "--why", "a test")
	if src, _ := os.ReadFile(served); string(src) != testedRoutes {
		t.Errorf("the file: %s", src)
	}
}
