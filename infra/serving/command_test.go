package serving_test

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
)

// TestSignals sends signals to its own process, so it must not run beside other
// tests. It says itself whether SIGHUP is ignored, which a process inherits: under
// nohup, and from some CI runners, it is.
func TestSignals(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{
		"interrupt": syscall.SIGINT, "terminate": syscall.SIGTERM, "closed terminal": syscall.SIGHUP,
	} {
		t.Run(name, func(t *testing.T) {
			handled := make(chan os.Signal, 1)
			signal.Notify(handled, sig) // which ends that it is ignored
			defer signal.Stop(handled)
			ctx := serving.UntilStopped()
			if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
				t.Fatal("the context goes on")
			}
		})
	}
	t.Run("under nohup", func(t *testing.T) {
		signal.Ignore(syscall.SIGHUP)
		ctx := serving.UntilStopped()
		if !signal.Ignored(syscall.SIGHUP) {
			t.Error("SIGHUP is not ignored any more")
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
	})
}
