package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// endpoints are where the servers of a measurement are.
type endpoints struct {
	Mongo    string `json:"mongo"`
	DynamoDB string `json:"dynamodb"`
}

// serve runs the sandbox's servers until in ends, so that they do not outlive who started
// them, or until ctx ends. It writes where they are to out.
func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	debug.SetGCPercent(400) // it should be the program that limits
	store, err := mongodb.Start(mongodb.Config{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }() // the process ends
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	server := &http.Server{Handler: dynamodb.New(dynamodb.Config{}), ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := json.NewEncoder(out).Encode(endpoints{store.URI(), "http://" + l.Addr().String()}); err != nil {
		return err
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// background is a process that runs until stop, and says on its first line where it is.
type background struct {
	cmd   *exec.Cmd
	input io.Closer
	first string
}

func start(ctx context.Context, cmd *exec.Cmd) (*background, error) {
	b := &background{cmd: cmd}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.input = in
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = in.Close() })
	defer stop()
	b.first, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.stop()
		return nil, fmt.Errorf("%s does not say where it is: %w", cmd.Path, err)
	}
	b.first = strings.TrimSpace(b.first)
	return b, nil
}

// stop ends the process by the end of its input, and waits for it.
func (b *background) stop() {
	_ = b.input.Close()
	_ = b.cmd.Wait() // it is of no use any more
}

// startSandbox starts the sandbox's servers.
func startSandbox(ctx context.Context) (*background, endpoints, error) {
	var e endpoints
	self, err := os.Executable()
	if err != nil {
		return nil, e, err
	}
	b, err := start(ctx, exec.Command(self, "--serve"))
	if err != nil {
		return nil, e, err
	}
	return b, e, json.Unmarshal([]byte(b.first), &e)
}

// localScript runs a command beside DynamoDB Local.
const localScript = "infra/sandbox/conformance/dynamodb-local.sh"

// errSkipped says why DynamoDB Local cannot be had.
var errSkipped = errors.New("SKIPPED")

// startLocal starts DynamoDB Local.
func startLocal(ctx context.Context) (*background, string, error) {
	if _, err := os.Stat(localScript); err != nil {
		return nil, "", fmt.Errorf("%w %s: %w; run this from the root of the repository", errSkipped, local, err)
	}
	b, err := start(ctx, exec.Command("bash", localScript, "sh", "-c", `echo "$BANYAN_CONFORMANCE_DYNAMODB"; cat >/dev/null`))
	if err != nil {
		return nil, "", err
	}
	if why, skipped := strings.CutPrefix(b.first, "SKIPPED "); skipped {
		b.stop()
		return nil, "", fmt.Errorf("%w %s", errSkipped, why)
	}
	return b, b.first, nil
}
