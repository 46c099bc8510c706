package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/sandbox"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

const stream = "facts"

// quickExit keeps the race detector from sleeping for a second at each exit.
const quickExit = "GORACE=atexit_sleep_ms=0"

// childVariable makes the test binary be the command.
const childVariable = "BANYAN_PUBLISH_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		main()
	}
	testscript.Main(leaky{m}, map[string]func(){"banyan-publish": main})
}

// leaky looks for goroutines after all tests.
type leaky struct{ *testing.M }

func (l leaky) Run() int {
	code := l.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		return 1
	}
	return code
}

// world is a sandbox with a stream, and the commands that run beside it.
type world struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	kinesis *awskinesis.Client
	http    *http.Client
	env     []string // of commands that follow, beyond the sandbox's
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sandbox, err := sandbox.Start(t.Context(), sandbox.Config{Environ: []string{}, Unlimited: true, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sandbox.Close() })
	if err := sandbox.CreateStream(t.Context(), stream, 2); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	w := &world{t: t, sandbox: sandbox, http: &http.Client{Transport: transport}}
	w.kinesis = streamtest.NewClient(w.variable("AWS_ENDPOINT_URL"), transport)
	return w
}

func (w *world) variable(name string) string {
	for _, kv := range w.sandbox.Env() {
		if n, value, _ := strings.Cut(kv, "="); n == name {
			return value
		}
	}
	return ""
}

// faults injects what plan says from now on.
func (w *world) faults(plan string) {
	w.t.Helper()
	p, err := fault.Parse(plan)
	if err == nil {
		err = w.sandbox.Faults().SetPlan(p)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// process is a running command.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	stdout  bytes.Buffer // to be read when it has ended
	ended   chan struct{}
	serving chan struct{}

	mu     sync.Mutex
	stderr bytes.Buffer
	where  struct {
		Events []string
		Admin  string
	}
}

// command starts banyan-publish; env comes after that of the sandbox.
func (w *world) command(env []string, args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, ended: make(chan struct{}), serving: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = slices.Concat([]string{childVariable + "=1", quickExit, "PATH=" + os.Getenv("PATH"), "EVENTS_STREAM=" + stream}, w.sandbox.Env(), env)
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.follow(stderr)
		_ = p.cmd.Wait()
	}()
	w.t.Cleanup(func() { _ = p.cmd.Process.Kill(); <-p.ended })
	return p
}

// serve starts the sidecar on free ports and waits until it answers.
func (w *world) serve(env []string, args ...string) *process {
	w.t.Helper()
	p := w.command(env, append([]string{"serve", "--admin-listen=127.0.0.1:0", "--linger=1ms"}, args...)...)
	select {
	case <-p.serving:
	case <-p.ended:
		w.t.Fatalf("it ended: %s", p.log())
	case <-time.After(time.Minute):
		w.t.Fatalf("it does not serve: %s", p.log())
	}
	return p
}

func (p *process) follow(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.stderr.Write(append(lines.Bytes(), '\n'))
		if strings.Contains(lines.Text(), `"msg":"serving"`) && json.Unmarshal(lines.Bytes(), &p.where) == nil {
			close(p.serving)
		}
		p.mu.Unlock()
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// url is where events go.
func (p *process) url() string { return "http://" + p.where.Events[0] + "/events" }

// end waits for the process, and gives its exit code.
func (p *process) end(sig os.Signal) int {
	p.t.Helper()
	if sig != nil {
		_ = p.cmd.Process.Signal(sig)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.ended
		p.t.Fatalf("it does not end: %s", p.log())
	}
	return p.cmd.ProcessState.ExitCode()
}

// admin gives the status and the text of a page of the admin address.
func (w *world) admin(p *process, page string) (int, string) {
	w.t.Helper()
	res, err := w.http.Get("http://" + p.where.Admin + page)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (w *world) eventually(what string, true func() bool) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(10 * time.Millisecond) {
		if true() {
			return
		}
	}
	w.t.Fatalf("%s: that does not become true", what)
}

// read returns all events of the stream in the order of their positions.
func (w *world) read() []events.Event {
	w.t.Helper()
	all, err := streamtest.Read(context.Background(), w.kinesis, stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}
