package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// tailSize is how much of an invocation's log a caller can ask for (API
	// reference, Invoke: "the last 4 KB of the execution log").
	tailSize = 4 << 10
	// outputGrace is for descendants that keep the output open.
	outputGrace = 200 * time.Millisecond
)

// Config says what an environment runs. All fields but Log are needed.
type Config struct {
	ID         string       // unique, shown in logs
	Dir        string       // the function's code, its task root and working directory
	Tmp        string       // where the environment gets its own directory for temporary files
	Env        []string     // all variables but AWS_LAMBDA_RUNTIME_API and TMPDIR
	MemorySize int          // in MB, for the REPORT line only
	Log        func([]byte) // gets whole and partial lines; nil discards them
}

// Environment is one process of a function. Invoke must not be called by two
// goroutines at once; the other methods are safe for concurrent use.
type Environment struct {
	id       string
	cfg      Config
	cmd      *exec.Cmd
	server   *http.Server
	pipe     *logPipe
	tmp      string
	work     chan *pending
	ready    chan struct{} // closed when the process first asked for work
	stopping chan struct{} // closed when the environment is to end
	exit     chan struct{} // closed when the process is gone
	stopOnce sync.Once
	wg       sync.WaitGroup

	logMu sync.Mutex
	tail  tail

	mu          sync.Mutex
	initialised bool
	initFailure *Result
	exitErr     error
	current     *pending
	started     time.Time
	initTime    time.Duration // zero once it was reported
}

// Invocation is one event for a function.
type Invocation struct {
	ID          string
	FunctionARN string
	TraceID     string
	Payload     []byte
	Timeout     time.Duration
	// KillAfter, when positive, kills the process that long after it took the
	// invocation: a fault, not a limit.
	KillAfter time.Duration
}

// Result is what a function made of an invocation.
type Result struct {
	Payload       []byte
	FunctionError string // empty or Unhandled
	ErrorType     string // of the error object, where there is one
	LogTail       []byte
}

type pending struct {
	Invocation
	deadline time.Time
	taken    chan struct{}
	finished chan struct{}
	result   *Result
}

// Start starts the function's bootstrap and its Runtime API. Wait for its
// initialisation with Init. The environment must be ended with Stop.
func Start(spawner *Spawner, cfg Config) (*Environment, error) {
	bootstrap, err := entrypoint(cfg.Dir)
	if err != nil {
		return nil, err
	}
	e := &Environment{
		id: cfg.ID, cfg: cfg, started: time.Now(), tail: tail{limit: tailSize},
		work: make(chan *pending), ready: make(chan struct{}), stopping: make(chan struct{}), exit: make(chan struct{}),
	}
	if e.pipe, err = newLogPipe(e.output); err != nil {
		return nil, fmt.Errorf("opening a pipe for the function's output: %w", err)
	}
	if err := e.launch(spawner, bootstrap); err != nil {
		e.pipe.started()
		_ = e.pipe.read.Close()
		return nil, err
	}
	return e, nil
}

// entrypoint finds the bootstrap of an OS-only runtime (developer guide,
// "Building a custom runtime").
func entrypoint(dir string) (string, error) {
	path := filepath.Join(dir, "bootstrap")
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]")
	case err != nil:
		return "", err
	case info.IsDir() || info.Mode()&0o111 == 0:
		return "", errors.New("fork/exec /var/task/bootstrap: permission denied (is it marked executable in the archive?)")
	}
	return path, nil
}

func (e *Environment) launch(spawner *Spawner, bootstrap string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the Runtime API: %w", err)
	}
	if e.tmp, err = os.MkdirTemp(e.cfg.Tmp, "tmp-"); err != nil {
		_ = listener.Close()
		return fmt.Errorf("making the environment's temporary directory: %w", err)
	}
	e.cmd = exec.Command(bootstrap)
	e.cmd.Dir = e.cfg.Dir
	e.cmd.Stdout, e.cmd.Stderr = e.pipe.write, e.pipe.write
	e.cmd.Env = append(append([]string(nil), e.cfg.Env...),
		"AWS_LAMBDA_RUNTIME_API="+listener.Addr().String(), "TMPDIR="+e.tmp)
	if err := spawner.Start(e.cmd); err != nil {
		_ = listener.Close()
		_ = os.RemoveAll(e.tmp)
		return fmt.Errorf("starting %s: %w", bootstrap, err)
	}
	e.pipe.started()
	e.server = &http.Server{Handler: e.api(), ReadHeaderTimeout: 10 * time.Second}
	e.wg.Go(e.pipe.run)
	e.wg.Go(func() { _ = e.server.Serve(listener) })
	e.wg.Go(e.watch)
	return nil
}

// watch waits for the process and clears up after it.
func (e *Environment) watch() {
	err := e.cmd.Wait()
	e.signal(syscall.SIGKILL) // what it started and left behind
	e.pipe.close(outputGrace)
	e.mu.Lock()
	e.exitErr = err
	e.mu.Unlock()
	close(e.exit)
	_ = e.server.Close()
	_ = os.RemoveAll(e.tmp)
}

// Init waits for the initialisation to end. A false result says that it failed
// or took longer than limit; the failure is then the answer to invocation id.
func (e *Environment) Init(ctx context.Context, id string, limit time.Duration) (Result, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-e.ready:
		e.mu.Lock()
		e.initTime = time.Since(e.started)
		e.mu.Unlock()
		return Result{}, true
	case <-e.exit:
		return e.initFailed(id), false
	case <-timer.C:
		e.Stop()
		return timedOut(id, limit), false
	case <-ctx.Done():
		e.Stop()
		return stopped(id), false
	}
}

func (e *Environment) initFailed(id string) Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initFailure != nil {
		return *e.initFailure
	}
	return exited(id, e.exitErr)
}

func stopped(id string) Result {
	return failed("Sandbox.Stopped", fmt.Sprintf("RequestId: %s Error: the sandbox is being closed", id))
}

// Invoke hands the event to the process and waits until it has answered and
// asked for more, has died, or has used up the timeout, at which it is killed.
func (e *Environment) Invoke(ctx context.Context, inv Invocation) Result {
	begin := time.Now()
	p := &pending{
		Invocation: inv, deadline: begin.Add(inv.Timeout),
		taken: make(chan struct{}), finished: make(chan struct{}),
	}
	e.tailReset()
	e.Printf("START RequestId: %s Version: %s\n", inv.ID, version(e.cfg.Env))
	result := e.await(ctx, p)
	e.pipe.sync()
	e.report(inv.ID, time.Since(begin))
	result.LogTail = e.tailBytes()
	return result
}

func (e *Environment) await(ctx context.Context, p *pending) Result {
	timer := time.NewTimer(p.Timeout)
	defer timer.Stop()
	select {
	case e.work <- p:
	case <-e.exit:
		return e.died(p)
	case <-timer.C:
		return e.overdue(p)
	case <-ctx.Done():
		e.Stop()
		return stopped(p.ID)
	}
	select {
	case <-p.finished:
		return *p.result
	case <-e.exit:
		return e.died(p)
	case <-timer.C:
		return e.overdue(p)
	case <-e.fault(p):
		return e.died(p)
	case <-ctx.Done():
		e.Stop()
		return stopped(p.ID)
	}
}

// fault kills the process in the middle of an invocation, when asked to, and
// says when it is dead.
func (e *Environment) fault(p *pending) <-chan struct{} {
	if p.KillAfter <= 0 {
		return nil
	}
	dead := make(chan struct{})
	e.wg.Go(func() {
		select {
		case <-p.taken:
		case <-e.exit:
			return
		}
		timer := time.NewTimer(p.KillAfter)
		defer timer.Stop()
		select {
		case <-p.finished:
			return
		case <-e.exit:
			return
		case <-timer.C:
		}
		e.signal(syscall.SIGKILL)
		<-e.exit
		close(dead)
	})
	return dead
}

// died is the outcome of an invocation whose process ended: its answer, if it
// gave one before, else the exit.
func (e *Environment) died(p *pending) Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.result != nil {
		return *p.result
	}
	return exited(p.ID, e.exitErr)
}

func (e *Environment) overdue(p *pending) Result {
	e.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	if p.result != nil {
		return *p.result
	}
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	e.Printf("%s %s Task timed out after %.2f seconds\n\n", now, p.ID, p.Timeout.Seconds())
	return timedOut(p.ID, p.Timeout)
}

// Alive says whether the environment can take another invocation.
func (e *Environment) Alive() bool {
	select {
	case <-e.stopping:
		return false
	case <-e.exit:
		return false
	default:
		return true
	}
}

// Stop ends the process and all it started, and waits until they are gone.
func (e *Environment) Stop() {
	e.stopOnce.Do(func() {
		close(e.stopping)
		e.signal(syscall.SIGKILL)
	})
	<-e.exit
}

// Wait returns when the environment has ended and left no goroutine.
func (e *Environment) Wait() { e.wg.Wait() }

// signal reaches the whole process group.
func (e *Environment) signal(s syscall.Signal) { _ = syscall.Kill(-e.cmd.Process.Pid, s) }
