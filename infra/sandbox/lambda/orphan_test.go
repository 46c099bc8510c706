package lambda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

const orphanDir = "BANYAN_TEST_ORPHAN_DIR"

// A host that is killed leaves no function behind, as the kernel ends them, and
// its directory only until the next host starts.
func TestKilledHostLeavesNoFunctions(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ties a process's life to its parent's")
	}
	dir, tmp := t.TempDir(), t.TempDir()
	host := exec.Command(os.Args[0], "-test.run=^TestOrphanHost$")
	host.Env = append(os.Environ(), orphanDir+"="+dir, "TMPDIR="+tmp)
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Process.Kill() }()
	var pid int
	eventually.True(t, "the function runs", func() bool {
		if started := pids(t, dir); len(started) == 1 {
			pid = started[0]
		}
		return pid != 0 && len(lines(t, dir, "calls")) == 1
	})
	if !alive(pid) {
		t.Fatal("the function is not there")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	eventually.True(t, "the function is gone", func() bool { return !alive(pid) || zombie(pid) })
	left := func() []string {
		found, _ := filepath.Glob(filepath.Join(tmp, "banyan-lambda-*"))
		return found
	}
	if len(left()) != 1 {
		t.Fatalf("the killed host left %v", left())
	}
	next, err := sandbox.New(sandbox.Config{Dir: tmp})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Close(t.Context()); err != nil || len(left()) != 0 {
		t.Errorf("after the next host: %v, %v", left(), err)
	}
}

// TestOrphanHost is the host that TestKilledHostLeavesNoFunctions kills.
func TestOrphanHost(t *testing.T) {
	dir := os.Getenv(orphanDir)
	if dir == "" {
		t.Skip("run by TestKilledHostLeavesNoFunctions")
	}
	w := newWorld(t, sandbox.Config{})
	w.function("orphan", 60, map[string]string{"OUT": strings.TrimSpace(dir)})
	w.invoke("orphan", map[string]int{"sleepMs": 60_000})
}
