package serving_test

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

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

// TestCompletion: a shell that asks what may stand at the end of a line gets verbs, flags, and
// the values of a flag, and the command does nothing else.
func TestCompletion(t *testing.T) {
	var grammar struct {
		Copy struct {
			Until string `enum:"half,whole" default:"whole"`
		} `cmd:""`
		Count struct{} `cmd:""`
	}
	c := serving.Command{Name: "example", Grammar: &grammar, Run: func(context.Context, *kong.Context, *slog.Logger) error {
		t.Error("it ran")
		return nil
	}}
	for line, want := range map[string]string{
		"example co":             "copy\ncount\n",
		"example copy --un":      "--until\n",
		"example copy --until ":  "half\nwhole\n",
		"example count --until ": "",
	} {
		t.Setenv("COMP_LINE", line)
		t.Setenv("COMP_POINT", strconv.Itoa(len(line)))
		var out, errs strings.Builder
		code := c.Execute(t.Context(), nil, &out, &errs)
		all := strings.SplitAfter(out.String(), "\n")
		slices.Sort(all)
		if got := strings.Join(all, ""); code != 0 || got != want || errs.Len() > 0 {
			t.Errorf("%q: exit %d, %q, want %q; %s", line, code, got, want, errs.String())
		}
	}
}
