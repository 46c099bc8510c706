package spool_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// orders are what a child process is to do; it gets them as JSON in its
// environment.
type orders struct {
	Path      string
	Round     int    // part of the names of its keys
	Producers int    // 0: none
	Endpoint  string // of Kinesis, to which it drains; empty: not at all
	FileLimit uint64 // bytes a file may have
	MaxBytes  int64
	Refuse    bool
	Open      bool // only open the spool and sit there
}

const childOrders = "SPOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childOrders); text != "" {
		if err := obey(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// obey publishes and drains until it is killed, or its standard input ends. Of
// each event that is kept it says the key and the number.
func obey(text string) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if o.FileLimit > 0 {
		limit := syscall.Rlimit{Cur: o.FileLimit, Max: 1 << 62}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := spool.Open(ctx, spool.Config{
		Path: o.Path, MaxBytes: o.MaxBytes, RefuseWhenFull: o.Refuse,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond, Window: 200,
	})
	if err != nil {
		return err
	}
	fmt.Println("open")
	var working sync.WaitGroup
	if o.Endpoint != "" {
		if err := drainInto(ctx, s, o.Endpoint, &working); err != nil {
			return err
		}
	}
	for i := range o.Producers {
		working.Go(func() { produce(ctx, s, fmt.Sprintf("r%d-p%d", o.Round, i), o.Refuse) })
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	working.Wait()
	limited, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	return s.Close(limited)
}

func drainInto(ctx context.Context, s *spool.Spool, endpoint string, working *sync.WaitGroup) error {
	p, err := kinesis.New(ctx, kinesis.Config{
		Client: streamtest.NewClient(endpoint, &http.Transport{MaxIdleConnsPerHost: 16}), Stream: stream, Linger: time.Millisecond, AggregateBytes: 2000,
		BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, AttemptTimeout: time.Minute, RetryRefused: true,
	})
	if err != nil {
		return err
	}
	working.Go(func() {
		if err := s.Drain(ctx, p); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		_ = p.Close(ended())
	})
	return nil
}

// produce keeps up to 20 events of a key in flight. An event that is refused
// is tried again, with those behind it.
func produce(ctx context.Context, s *spool.Spool, key string, refused bool) {
	type sent struct {
		number  int
		receipt publishers.Receipt
	}
	most := 20
	if refused {
		most = 1 // what follows a refused event must wait until that is known
	}
	var flying []sent
	for n := 0; ctx.Err() == nil; {
		r, err := s.EnqueueEncoded(ctx, key, publisherstest.Body(key, n))
		if err == nil {
			flying = append(flying, sent{n, r})
			n++
		}
		for len(flying) > 0 && (len(flying) >= most || err != nil) {
			first := flying[0]
			flying = flying[1:]
			if _, failed := first.receipt.Wait(context.Background()); failed == nil {
				fmt.Printf("%s %d\n", key, first.number)
			} else if refused {
				n, flying = first.number, nil
				fmt.Printf("refused %s %d\n", key, first.number)
				time.Sleep(time.Millisecond)
			} else {
				fmt.Fprintln(os.Stderr, failed)
				return
			}
		}
	}
}

// child is a process of this test binary.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	opens chan struct{}
	keeps chan struct{} // closed when it has kept an event, or ended without one
	said  chan struct{} // closed when all that it said was read
	lines []string
	err   words
}

// words can be read while they are written.
type words struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (w *words) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Reset()
}

func start(t *testing.T, o orders) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(os.Args[0], "-test.run=^$"), opens: make(chan struct{}), keeps: make(chan struct{}), said: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childOrders+"="+string(text))
	c.cmd.Stderr = &c.err
	c.stdin, err = c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go c.listen(out)
	select {
	case <-c.opens:
	case <-time.After(time.Minute):
		t.Fatal("the child does not open the spool")
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

func (c *child) listen(out io.Reader) {
	defer close(c.said)
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if first {
			close(c.opens)
			first = false
			continue
		}
		if c.lines = append(c.lines, lines.Text()); len(c.lines) == 1 {
			close(c.keeps)
		}
	}
	if first {
		close(c.opens)
	}
	if len(c.lines) == 0 {
		close(c.keeps)
	}
}

// kill ends the process at once, by SIGKILL, and returns what it said was kept:
// for each key the number of events.
func (c *child) kill(t *testing.T) map[string]int {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-c.said
	_ = c.cmd.Wait()
	return c.kept(t)
}

func (c *child) kept(t *testing.T) map[string]int {
	t.Helper()
	if c.err.String() != "" {
		t.Fatal(c.err.String())
	}
	kept := make(map[string]int)
	for _, line := range c.lines {
		var key string
		var n int
		if _, err := fmt.Sscanf(line, "%s %d", &key, &n); err == nil {
			if n > kept[key] {
				t.Fatalf("%s: event %d is kept, and %d not", key, n, kept[key])
			}
			kept[key] = max(kept[key], n+1)
		}
	}
	return kept
}
