package mongostream_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
)

const childEnv = "BANYAN_FOLLOW_TEST_CHILD"

// childLease runs out in a test, and does not where a loaded machine stalls the child.
const childLease = 2 * time.Second

// child is a follower in a process of its own, which prints what it handles.
func child() {
	uri := os.Getenv(childEnv)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	f, err := mongostream.New(mongostream.Config{
		Name: "test", Source: mongostream.Source{Database: client.Database(mongodbtest.Database(uri)), Collection: "things"}, Lease: childLease,
		Handle: func(_ context.Context, c mongostream.Change) (mongostream.Ack, error) {
			fmt.Println("handled", c.ID().AsInt64())
			return nil, nil
		}})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go func() {
		<-f.Ready()
		fmt.Println("ready")
		for last := ""; ; time.Sleep(20 * time.Millisecond) {
			if st := f.Status(); st.LastError != last {
				last = st.LastError
				fmt.Println("note", last)
			}
		}
	}()
	fmt.Println("ended", f.Run(context.Background()))
}

// process is a child and what it said.
type process struct {
	*exec.Cmd
	mu    sync.Mutex
	lines []string
	done  chan struct{}
}

func (w *world) process() *process {
	w.t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), done: make(chan struct{})}
	p.Env = append(os.Environ(), childEnv+"="+w.uri)
	out, err := p.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
		}
	}()
	w.t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.Process.Kill()
	<-p.done
	_ = p.Wait()
}

// pause stops the process and waits until it stands.
func (p *process) pause(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf("/proc/%d/stat", p.Process.Pid)
	if _, err := os.Stat(state); err != nil {
		time.Sleep(200 * time.Millisecond) // no Linux: nobody tells
		return
	}
	eventually.True(t, "the child to stand", func() bool {
		stat, err := os.ReadFile(state)
		return err == nil && strings.Contains(string(stat), ") T ")
	})
}

// said tells how many lines begin with prefix.
func (p *process) said(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (p *process) awaits(t *testing.T, prefix string, n int) {
	t.Helper()
	eventually.True(t, fmt.Sprintf("the child to say %q %d times", prefix, n), func() bool { return p.said(prefix) >= n })
}
