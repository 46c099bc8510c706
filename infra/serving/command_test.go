package serving_test

import (
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/serving"
)

// TestSignals is about one process's signals, so it must not run beside others.
func TestSignals(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "terminate": syscall.SIGTERM, "closed terminal": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			ctx := serving.UntilStopped()
			if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("it goes on")
			}
		})
	}
	t.Run("under nohup", func(t *testing.T) {
		signal.Ignore(syscall.SIGHUP)
		defer signal.Reset(syscall.SIGHUP)
		ctx := serving.UntilStopped()
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatal("it ended")
		case <-time.After(50 * time.Millisecond):
		}
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-ctx.Done()
	})
}
