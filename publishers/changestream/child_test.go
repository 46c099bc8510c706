package changestream_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/publishers/changestream"
	"github.com/banyan-fig/banyan/publishers/kinesis"
)

const (
	childMongo   = "BANYAN_CHANGESTREAM_TEST_MONGO"
	childKinesis = "BANYAN_CHANGESTREAM_TEST_KINESIS"
)

// childLease is short, since the one of a killed process has to run out.
const childLease = 400 * time.Millisecond

// child is a publisher in a process of its own, until it is killed.
func child() {
	err := runChild(context.Background())
	fmt.Println("ended:", err)
}

func runChild(ctx context.Context) error {
	uri := os.Getenv(childMongo)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	to, err := kinesis.New(ctx, kinesis.Config{Client: kinesisClient(nil, os.Getenv(childKinesis)), Stream: stream, RetryRefused: true})
	if err != nil {
		return err
	}
	m, err := changestream.ParseMapping("users.yaml", []byte(usersMapping))
	if err != nil {
		return err
	}
	p, err := changestream.New(changestream.Config{Database: client.Database(mongodbtest.Database(uri)), Mapping: m, To: to, Permanent: permanent,
		Lease: childLease, EnsureImages: true, Snapshot: true, SnapshotChunk: 5})
	if err != nil {
		return err
	}
	go func() {
		<-p.Ready()
		fmt.Println("ready")
	}()
	return p.Run(ctx)
}

// process is a child that has said it is ready.
type process struct {
	*exec.Cmd
	ready chan struct{}
	done  chan struct{}
}

func (w *world) process() *process {
	w.t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), ready: make(chan struct{}), done: make(chan struct{})}
	p.Env = append(os.Environ(), childMongo+"="+w.uri, childKinesis+"="+w.aws)
	p.Stderr = os.Stderr
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
			if lines.Text() == "ready" {
				close(p.ready)
			} else {
				fmt.Fprintln(os.Stderr, "child:", lines.Text())
			}
		}
	}()
	return p
}

// kill is SIGKILL.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.done
	_ = p.Wait()
}
