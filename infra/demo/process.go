package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process is one of the world's programs. What it prints goes to a file of
// its own below the work folder.
type process struct {
	name  string
	env   []string
	args  []string
	ready string // the URL that says so
	cmd   *exec.Cmd
	log   string
	done  chan struct{} // closed when it has ended and err is set
	err   error
}

// start runs a program of the bin folder. It dies with this process.
func (w *World) start(name string, env []string, args ...string) (*process, error) {
	logPath := filepath.Join(w.dir, name+".log")
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the child has its own copy
	p := &process{name: name, env: env, args: args, log: logPath, done: make(chan struct{})}
	p.cmd = w.command(context.Background(), env, args...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w (build it with `make build`)", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// command prepares args[0] of the bin folder with the world's environment.
func (w *World) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(w.cfg.Bin, args[0]), args[1:]...)
	cmd.Env = append(append(os.Environ(), w.env...), env...)
	if w.network != nil && args[0] == "banyan-migrate" {
		cmd.Env = append(cmd.Env, "MONGODB_URI="+w.network.uri)
	}
	cmd.SysProcAttr = diesWithParent()
	return cmd
}

// stop ends a process by SIGTERM, and by SIGKILL after the grace time.
func (p *process) stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.exitError()
	case <-time.After(grace):
		p.kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM (its log: %s)", p.name, grace, p.log)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// exitError is the process's error with the last lines of its log.
func (p *process) exitError() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", p.name, p.err, lastLines(p.log, 3))
}

// checkAlive returns nil while the process runs.
func (p *process) checkAlive() error {
	select {
	case <-p.done:
		if p.err == nil {
			return fmt.Errorf("%s ended by itself: %s", p.name, lastLines(p.log, 3))
		}
		return p.exitError()
	default:
		return nil
	}
}

func lastLines(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// awaitReady waits until url answers 200, as long as the process runs.
func (p *process) awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		if err := p.checkAlive(); err != nil {
			return err
		}
		if status(ctx, url) == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready at %s: %s", p.name, url, lastLines(p.log, 3))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func status(ctx context.Context, url string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// freeAddress finds a loopback port that is free now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), errors.Join(l.Close())
}

// peakMemory is the most resident memory a process had so far, in bytes, or
// 0 where the system does not tell.
func peakMemory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var kb int64
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
