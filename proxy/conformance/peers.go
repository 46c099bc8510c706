package conformance

import (
	"embed"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// budget is shorter than for a target that fails nothing: some of what these fail takes all of it.
const budget = 10 * time.Second

//go:embed nginx.conf haproxy.conf
var configs embed.FS

// NGINX is a Target that runs nginx, from the PATH, as a plain proxy.
func NGINX() Target { return peer("nginx", "-p", ".", "-c", "nginx.conf") }

// HAProxy is a Target that runs HAProxy, from the PATH, as a plain proxy.
func HAProxy() Target { return peer("haproxy", "-db", "-f", "haproxy.conf") }

// peer is a program that is configured by a file of its name, in a folder of its own.
func peer(name string, args ...string) Target {
	return Target{Name: name, Kinds: []Kind{Legacy}, Budget: budget, Start: func(t testing.TB, b Backend) (string, func()) {
		t.Helper()
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("SKIPPED: %s is not installed: %v", name, err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		l.Close()
		config, _ := configs.ReadFile(name + ".conf") // it is embedded
		_, port, _ := strings.Cut(address, ":")
		text := strings.NewReplacer("PORT", port, "LEGACY", b.Legacy, "TIMEOUT", fmt.Sprintf("%.0fs", b.Timeout.Seconds())).Replace(string(config))
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name+".conf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(path, args...)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := func() {
			_ = cmd.Process.Kill() // it may have ended by itself
			_ = cmd.Wait()
		}
		for end := time.Now().Add(budget); ; time.Sleep(10 * time.Millisecond) {
			if c, err := net.Dial("tcp", address); err == nil {
				c.Close()
				return address, stop
			} else if time.Now().After(end) {
				stop()
				t.Fatalf("%s does not listen: %v", name, err)
			}
		}
	}}
}
