package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/spool"
)

type drainCommand struct {
	spoolFile
	asJSON
	GiveUpAfter time.Duration `help:"Longest that the drain may take; 0 for no limit." default:"0" env:"BANYAN_PUBLISH_GIVE_UP_AFTER"`
	Stream      streamFlags   `embed:""`
}

// drained is the summary of a drain.
type drained struct {
	Sent    uint64          `json:"sent"`
	Left    uint64          `json:"left"`
	Refused []spool.Refused `json:"refused"`
	Seconds float64         `json:"seconds"`
}

// Run sends until nothing is left.
func (c *drainCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	if c.GiveUpAfter > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.GiveUpAfter)
		defer cancel()
	}
	if err := checkExists(ctx, c.Spool); err != nil {
		return err // before connecting to the stream
	}
	to, err := c.Stream.openRetrying(ctx)
	if err != nil {
		return err
	}
	defer closeNow(to)
	keep := spoolFlags{Spool: c.Spool}
	cfg := keep.config(&c.Stream, log)
	cfg.LockTimeout = lockTimeout
	s, err := openSpool(ctx, cfg)
	if err != nil {
		return err
	}
	began, before := time.Now(), s.Status()
	end := showProgress(parsed.Stderr, s, to)
	failed := s.DrainAll(ctx, to)
	if failed != nil && !s.Status().Failing {
		failed = fmt.Errorf("%w%s", failed, failing(to))
	}
	end()
	after := s.Status()
	summary := drained{Sent: after.Forwarded - before.Forwarded, Left: after.Events, Seconds: time.Since(began).Seconds()}
	if err := closeIn(s.Close); err != nil {
		return errors.Join(failed, err)
	}
	if err := c.report(parsed.Stdout, summary); err != nil {
		return err
	}
	if failed == nil && after.Refused > 0 {
		failed = fmt.Errorf("the stream refused %s, see above: correct the cause and run spool redrive, or spool discard", count(after.Refused))
	}
	return failed
}

func (c *drainCommand) report(w io.Writer, summary drained) error {
	summary.Refused = []spool.Refused{}
	refused, err := spool.Inspect(context.Background(), c.Spool, spool.InspectOptions{Entries: -1, Refused: 1000, Keys: -1})
	if err == nil && refused.Refused > 0 {
		summary.Refused = refused.RefusedEntries
	}
	if c.JSON {
		return printJSON(w, summary)
	}
	fmt.Fprintf(w, "sent %s in %.1f s, %d left, %d refused\n", count(summary.Sent), summary.Seconds, summary.Left, len(summary.Refused))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printRefused(t, summary.Refused)
	return t.Flush()
}

// showProgress writes a line every second until end is called.
func showProgress(w io.Writer, s *spool.Spool, to *kinesis.Publisher) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	began, first := time.Now(), s.Status()
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
			st := s.Status()
			sent := st.Forwarded - first.Forwarded
			fmt.Fprintf(w, "sent %d of %d events, %.0f a second%s\n", sent, sent+st.Events, float64(sent)/time.Since(began).Seconds(), lastError(st, to))
		}
	}()
	return func() { close(stop); <-done }
}

// closeNow ends a publisher behind a spool without sending pending events: they are still
// in the spool, and are reported from there.
func closeNow(p *kinesis.Publisher) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Close(now)
}
