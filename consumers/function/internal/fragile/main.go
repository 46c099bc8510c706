// Command fragile is the function that the tests of package function run: its handler
// fails as the partition key of each event says.
package main

import (
	"context"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
)

func main() {
	function.Main(function.Spec{Name: os.Getenv("NAME"), Handler: func(e function.Env) (consumers.Handler, error) {
		return func(ctx context.Context, m consumers.Message) error {
			e.Logger.Info("called", "key", m.Event.PartitionKey)
			how, _, _ := strings.Cut(m.Event.PartitionKey, " ")
			return fail(ctx, how)
		}, nil
	}})
}

func fail(ctx context.Context, how string) error {
	switch how {
	case "exit":
		os.Exit(3)
	case "goexit":
		runtime.Goexit()
	case "panic":
		panic("index out of range")
	case "goroutine": // whose panic nobody can recover
		go func() { panic("index out of range") }()
		<-ctx.Done()
	case "memory":
		runtime.KeepAlive(make([]byte, 1<<40))
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-ctx.Done()
	case "stopped": // not even the runtime answers
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-ctx.Done()
	case "deaf":
		<-make(chan int)
	case "slow":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}
