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

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/local"
	"github.com/banyan-fig/banyan/publishers/spool"
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
	sandbox, err := local.Start(context.Background(), local.Config{Environ: []string{}, Unlimited: true})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = sandbox.Close() })
	e.Vars = append(e.Vars, sandbox.Env()...)
	for _, name := range []string{"TAKEN", "FREE", "ADMIN", "NOBODY"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		e.Vars = append(e.Vars, name+"="+l.Addr().String())
		if name == "TAKEN" {
			e.Defer(func() { _ = l.Close() })
		} else if err := l.Close(); err != nil {
			return err
		}
	}
	return sandbox.CreateStream(context.Background(), "banyan-events", 1)
}

// await waits until a URL answers with 200, and shows the answer.
func await(ts *testscript.TestScript, _ bool, args []string) {
	for range 200 {
		res, err := http.Get(args[0])
		if err == nil {
			text, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				_, _ = fmt.Fprintf(ts.Stdout(), "%s", text)
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s is not ready", args[0])
}

// fill makes a spool with events of the given sizes: fill FILE SIZE...
func fill(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := spool.Open(ctx, spool.Config{Path: ts.MkAbs(args[0]), MaxEventBytes: 4 << 20})
	ts.Check(err)
	for i, arg := range args[1:] {
		size, err := strconv.Atoi(arg)
		ts.Check(err)
		r, err := s.Enqueue(ctx, events.Event{
			ID: fmt.Sprintf("event-%d", i+1), Source: "/test", Type: "sized", Version: 1, Time: time.Unix(1479729600, 0).UTC(), PartitionKey: "ada",
			Sequence: "01479729600000000000", Data: []byte(`"` + strings.Repeat("x", size) + `"`),
		})
		ts.Check(err)
		_, err = r.Wait(ctx)
		ts.Check(err)
	}
	ts.Check(s.Close(ctx))
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
