package main

import (
	"bufio"
	"context"
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

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/measure"
)

// count serves until in ends, so that it does not outlive who started it, or
// until ctx ends. It writes its URL to out.
func count(ctx context.Context, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	debug.SetGCPercent(1000) // it should be the publisher that limits
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	server := &http.Server{Handler: counting.NewServer(measure.Streams()...), ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Fprintf(out, "http://%s\n", l.Addr())
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// coordinate starts the counting server on the first core and what is measured
// on the second, and waits for the latter.
func coordinate(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cores := figures.ChooseCores()
	pinning := cores.Reason
	if pinning == "" {
		pinning = fmt.Sprintf("publisher alone on core %d, counting server on core %d, GOMAXPROCS=1 each", cores.Measured, cores.Other)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	server := child(ctx, self, "--count")
	server.Stdout = nil
	in, err := server.StdinPipe()
	if err != nil {
		return err
	}
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := figures.StartOn(cores.Other, server); err != nil {
		return fmt.Errorf("start the counting server: %w", err)
	}
	defer func() {
		in.Close()
		_ = server.Wait() // it is of no use any more
	}()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the counting server does not say where it is: %w", err)
	}

	args = append(args[:len(args):len(args)], "--endpoint="+strings.TrimSpace(url), "--pinning="+pinning)
	publisher := child(ctx, self, args...)
	if err := figures.StartOn(cores.Measured, publisher); err != nil {
		return fmt.Errorf("start the publisher: %w", err)
	}
	if err := publisher.Wait(); err != nil {
		return fmt.Errorf("the publisher's process: %w", err)
	}
	return nil
}

// stopWithin is how long a child may take to end when asked.
const stopWithin = 5 * time.Second

func child(ctx context.Context, self string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = stopWithin
	return c
}
