package docs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/linktest"
)

var block = regexp.MustCompile("(?ms)^```(\\w+) ?(\\S*)\n(.*?)^```$")

// TestQuickStart follows services/entity/QUICKSTART.md to the letter.
func TestQuickStart(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: it builds programs")
	}
	t.Parallel()
	files := follow(t, "services/entity/QUICKSTART.md")
	if n := strings.Count(files["main.go"], "\n"); n > 60 {
		t.Errorf("the service has %d lines, promised are 60", n)
	}
}

// TestGatewayExample follows the application in Node.js on the gateway of an entity.
func TestGatewayExample(t *testing.T) {
	if os.Getenv("BANYAN_GATEWAY_CLIENTS") == "" {
		t.Skip("SKIPPED: make gateway-clients runs it, with Node.js")
	}
	follow(t, "services/entity/gateway/example/README.md")
}

// follow does what a document says to the letter, but for ports: it writes the files, runs the
// commands, and expects the outputs. It returns the files.
func follow(t *testing.T, document string) map[string]string {
	t.Helper()
	checkout, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, document)
	for _, port := range []string{":8080", ":8090", ":8084", ":8085", ":3000"} {
		free := freePort(t)
		text = strings.NewReplacer(port, free, "PORT="+port[1:], "PORT="+free[1:]).Replace(text)
	}
	parent := t.TempDir()
	folder := filepath.Join(parent, "theaters")
	commands := "set -euo pipefail\n"
	files, inside, outputs := map[string]string{}, "trap 'kill $(jobs -p); wait' EXIT\n", []string(nil)
	for _, b := range block.FindAllStringSubmatch(text, -1) {
		switch kind, name, text := b[1], b[2], b[3]; {
		case kind == "sh" && !strings.Contains(commands, " -- "):
			commands += text
		case kind == "sh":
			inside += text
		case kind == "console":
			commands += strings.TrimSpace(text) + " -euo pipefail commands.sh\n"
		case kind == "text":
			outputs = append(outputs, strings.Split(strings.TrimSpace(text), "\n")...)
		default:
			files[name] = text
		}
	}
	files["commands.sh"] = inside
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	symlink(t, checkout, filepath.Join(parent, "banyan"))
	for _, name := range []string{"sample_mflix/theaters.json", "sample_analytics/accounts.json"} {
		symlink(t, filepath.Join(checkout, "../shared/data", name), filepath.Join(folder, filepath.Base(name)))
	}
	out := runScript(t, folder, commands)
	for _, want := range outputs {
		if !strings.Contains(out, want) {
			t.Errorf("no output has %s", want)
		}
	}
	t.Log(out)
	return files
}

// symlink makes a symbolic link, or skips the test where there is nothing that it could lead to.
func symlink(t *testing.T, to, name string) {
	t.Helper()
	if _, err := os.Stat(to); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	address, err := linktest.Free()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(address, "127.0.0.1")
}

// runScript runs commands in a folder, and returns what they print.
func runScript(t *testing.T, folder, commands string) string {
	t.Helper()
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", commands)
	cmd.Dir = folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it starts ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(folder, "*.log"))
		for _, name := range logs {
			log, _ := os.ReadFile(name)
			out = append(append(out, log...), '\n')
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
