package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/infra/sandbox"
)

// TestScripts runs testdata/*.txtar against a sandbox with a stream.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"await": await, "fill": fill, "post": post},
		Setup: setUp,
	})
}

func setUp(e *testscript.Env) error {
	sandbox, err := sandbox.Start(context.Background(), sandbox.Config{Environ: []string{}, Unlimited: true})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = sandbox.Close() })
	e.Vars = append(append(e.Vars, quickExit), sandbox.Env()...)
	free, err := linktest.Free()
	if err != nil {
		return err
	}
	e.Vars = append(e.Vars, "ADMIN="+free)
	return sandbox.CreateStream(context.Background(), "banyan-events", 1)
}

// await waits until a URL answers with 200, and shows the answer.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(args[0])
		if err == nil {
			text, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				_, _ = fmt.Fprintf(ts.Stdout(), "%s", text)
				return
			}
		}
	}
	ts.Fatalf("%s is not ready", args[0])
}

// fill makes a spool with events of the given sizes: fill FILE SIZE...
func fill(ts *testscript.TestScript, _ bool, args []string) {
	var sizes []int
	for _, arg := range args[1:] {
		size, err := strconv.Atoi(arg)
		ts.Check(err)
		sizes = append(sizes, size)
	}
	ts.Check(fillSpool(ts.MkAbs(args[0]), sizes...))
}

// post sends a file to the events of a unix socket: post SOCKET FILE NAME:VALUE...
func post(ts *testscript.TestScript, _ bool, args []string) {
	socket := ts.MkAbs(args[0])
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := http.NewRequest(http.MethodPost, "http://sidecar/events", strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	for _, header := range args[2:] {
		name, value, _ := strings.Cut(header, ":")
		r.Header.Set(name, value)
	}
	res, err := client.Do(r)
	ts.Check(err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	_, _ = fmt.Fprintf(ts.Stdout(), "%d %s", res.StatusCode, text)
}
