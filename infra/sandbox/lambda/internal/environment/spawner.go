package environment

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// ErrSpawnerClosed is returned by Start once the spawner was closed.
var ErrSpawnerClosed = errors.New("environment: the spawner is closed")

// Spawner starts processes from one thread that lives as long as it does.
//
// The kernel sends the parent-death signal when the thread that forked ends,
// not when the whole process does (prctl(2), PR_SET_PDEATHSIG). A goroutine's
// thread may end at any time, so the starting is done on one that is locked.
type Spawner struct {
	starts chan start
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
}

type start struct {
	cmd    *exec.Cmd
	answer chan error
}

// NewSpawner returns a running spawner. Close it when all its processes have
// ended: on Linux those still alive are killed with it.
func NewSpawner() *Spawner {
	s := &Spawner{starts: make(chan start), stop: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// Start starts cmd in its own process group. It is safe for concurrent use.
func (s *Spawner) Start(cmd *exec.Cmd) error {
	req := start{cmd: cmd, answer: make(chan error, 1)}
	select {
	case s.starts <- req:
		return <-req.answer
	case <-s.stop:
		return ErrSpawnerClosed
	}
}

// Close ends the starting thread and waits for it.
func (s *Spawner) Close() {
	s.once.Do(func() { close(s.stop) })
	<-s.done
}

func (s *Spawner) run() {
	defer close(s.done)
	runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
	for {
		select {
		case req := <-s.starts:
			req.cmd.SysProcAttr = processAttributes()
			req.answer <- req.cmd.Start()
		case <-s.stop:
			return
		}
	}
}
