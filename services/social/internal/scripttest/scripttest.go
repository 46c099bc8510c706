// Package scripttest prepares the scripts (testdata/*.txtar) of the example's commands.
package scripttest

import (
	"context"
	"net"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

// Prepare gives a script a sandbox with the stream banyan-events, its environment,
// and in TAKEN an address that something listens on.
func Prepare(e *testscript.Env) error {
	box, err := sandbox.Start(context.Background(), sandbox.Config{})
	if err != nil {
		return err
	}
	e.Defer(func() { _ = box.Close() })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	e.Defer(func() { _ = taken.Close() })
	e.Vars = append(append(e.Vars, box.Env()...), "TAKEN="+taken.Addr().String(),
		"GORACE=atexit_sleep_ms=0") // spares commands built with the race detector a second
	return box.CreateStream(context.Background(), "banyan-events", 2)
}
