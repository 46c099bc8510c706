//go:build linux

package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/banyan-fig/banyan/infra/figures"
)

// caddyModule is how Caddy is built.
const caddyModule = "github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"

//go:embed *.conf
var configs embed.FS

// world is the proxies, and what they stand between.
type world struct {
	ctx       context.Context // ends the processes
	cores     figures.Cores
	dir       string
	loop      *loop
	old, new  string // the addresses of the APIs
	token     string // of a user
	key       string // which verifies the token
	processes []*process
	skipped   []string
}

// process is a running proxy.
type process struct {
	cmd                  *exec.Cmd
	address, admin       string
	pprof                string // the address of banyan-proxy's profiles
	spread               bool   // over all cores
	routes, config, errs string // files
	ended                chan struct{}
}

func newWorld(ctx context.Context, cores figures.Cores, profiled bool) (*world, error) {
	w := &world{ctx: ctx, cores: cores}
	var oldErr, newErr, dirErr, tokenErr error
	var err error
	if w.loop, err = newLoop(); err != nil {
		return nil, err
	}
	w.old, oldErr = w.loop.listen(answer("old"))
	w.new, newErr = w.loop.listen(answer("new"))
	w.dir, dirErr = os.MkdirTemp("", "bench-proxy-")
	w.token, w.key, tokenErr = newToken()
	if err := errors.Join(oldErr, newErr, dirErr, tokenErr); err != nil {
		return nil, err
	}
	return w, w.build(profiled)
}

// close ends all; nothing may use the world afterwards.
func (w *world) close() {
	for _, p := range w.processes {
		_ = p.cmd.Process.Kill() // it may have ended already
		<-p.ended
	}
	w.loop.close()
	os.RemoveAll(w.dir)
}

// profiling is added to banyan-proxy where profiles are asked for, by an overlay: the product has none.
const profiling = `package main

import (
	"net/http"
	_ "net/http/pprof"
	"os"
)

func init() { go http.ListenAndServe(os.Getenv("BANYAN_BENCH_PPROF"), nil) }
`

func (w *world) build(profiled bool) error {
	args := []string{"build", "-o", w.file(banyan)}
	if profiled {
		added, _ := filepath.Abs("proxy/cmd/banyan-proxy/profiling.go") // it fails only without a working directory
		err := errors.Join(os.WriteFile(w.file("profiling.go"), []byte(profiling), 0o600),
			os.WriteFile(w.file("overlay.json"), fmt.Appendf(nil, `{"Replace":{%q:%q}}`, added, w.file("profiling.go")), 0o600))
		if err != nil {
			return err
		}
		args = append(args, "-overlay", w.file("overlay.json"))
	}
	if out, err := exec.CommandContext(w.ctx, "go", append(args, "./proxy/cmd/banyan-proxy")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build banyan-proxy (is this the root of the repository?): %w\n%s", err, out)
	}
	return nil
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// startBanyan runs banyan-proxy with a route file, on the measured core or spread over all.
func (w *world) startBanyan(name, routes string, spread bool) (*process, error) {
	p, err := w.newProcess(name)
	if err != nil {
		return nil, err
	}
	p.spread = spread
	if err := os.WriteFile(p.routes, []byte(routes), 0o600); err != nil {
		return nil, err
	}
	p.cmd = exec.CommandContext(w.ctx, w.file(banyan), "serve", "--routes", p.routes, "--listen", p.address, "--admin-listen", p.admin)
	p.cmd.Env = append(os.Environ(), keyEnv+"="+w.key, "BANYAN_BENCH_PPROF="+p.pprof)
	if !spread {
		p.cmd.Env = append(p.cmd.Env, "GOMAXPROCS=1")
	}
	return p, w.start(p)
}

// startOther runs another proxy before the old API. Where it cannot be had there is no process.
func (w *world) startOther(name string) (*process, error) {
	p, err := w.newProcess(name)
	if err != nil {
		return nil, err
	}
	if text, err := configs.ReadFile(name + ".conf"); err == nil {
		_, port, _ := strings.Cut(p.address, ":")
		text := strings.NewReplacer("PORT", port, "OLD", w.old).Replace(string(text))
		if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	switch name {
	case nginx:
		p.cmd = exec.CommandContext(w.ctx, "nginx", "-p", w.dir, "-c", p.config)
	case haproxy:
		p.cmd = exec.CommandContext(w.ctx, "haproxy", "-db", "-f", p.config)
	case caddy:
		build := exec.CommandContext(w.ctx, "go", "install", caddyModule)
		build.Env = append(os.Environ(), "GOBIN="+w.dir)
		if out, err := build.CombinedOutput(); err != nil {
			w.skipped = append(w.skipped, fmt.Sprintf("%s: go install %s: %v: %.300s", name, caddyModule, err, out))
			return nil, nil
		}
		p.cmd = exec.CommandContext(w.ctx, w.file("caddy"), "run", "--adapter", "caddyfile", "--config", p.config)
	case reverseProxy:
		p.cmd = exec.CommandContext(w.ctx, "/proc/self/exe", "--reverse-proxy="+p.address, "--to=http://"+w.old)
	}
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	if err := w.start(p); !errors.Is(err, exec.ErrNotFound) {
		return p, err
	}
	w.skipped = append(w.skipped, fmt.Sprintf("%s: %v", name, p.cmd.Err))
	return nil, nil
}

// newProcess chooses the files of a process, and addresses that nobody listens on at present.
func (w *world) newProcess(name string) (*process, error) {
	var addresses [3]string
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are known
		addresses[i] = l.Addr().String()
	}
	return &process{
		address: addresses[0], admin: addresses[1], pprof: addresses[2], ended: make(chan struct{}),
		routes: w.file(name + ".yaml"), config: w.file(name + ".conf"), errs: w.file(name + ".stderr"),
	}, nil
}

// start runs a proxy, and waits until it listens.
func (w *world) start(p *process) error {
	stderr, err := os.Create(p.errs)
	if err != nil {
		return err
	}
	defer stderr.Close()
	p.cmd.Stderr = stderr
	core := w.cores.Measured
	if p.spread {
		core = -1
	}
	started := make(chan error)
	go func() { started <- figures.StartOn(core, p.cmd) }() // not on the clients' thread, whose core it would inherit
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.cmd, err)
	}
	w.processes = append(w.processes, p)
	go func() {
		_ = p.cmd.Wait() // it is killed, or the standard error says why it ended
		close(p.ended)
	}()
	for deadline := time.After(time.Minute); ; {
		c, err := net.Dial("tcp", p.address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
			continue
		case <-deadline:
		case <-p.ended:
		}
		return fmt.Errorf("%s does not listen: %w\n%s", p.cmd, err, p.said())
	}
}

// said is the end of what the process wrote to its standard error.
func (p *process) said() []byte {
	text, _ := os.ReadFile(p.errs) // where there is none it said nothing
	return text[max(0, len(text)-1000):]
}

// cpu is what the process has used, user and system, with the threads that ended.
func (p *process) cpu() (time.Duration, error) {
	var t unix.Timespec
	// The clock of another process, as clock_getcpuclockid(3) has it.
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|2), &t); err != nil {
		return 0, fmt.Errorf("read the CPU time of process %d: %w", p.cmd.Process.Pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is what the process holds in KB.
func (p *process) memory() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var size, resident int
	_, err = fmt.Sscan(string(text), &size, &resident)
	return float64(resident * os.Getpagesize() / 1024), err
}
