package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// spoolCommand are the commands about a spool.
type spoolCommand struct {
	Inspect inspectCommand `cmd:"" help:"Show what is in a spool, also while a sidecar uses it."`
	Drain   drainCommand   `cmd:"" help:"Send what is in a spool that nobody uses, until it is empty."`
	Redrive redriveCommand `cmd:"" help:"Put refused events behind those that wait, to be sent again."`
	Discard discardCommand `cmd:"" help:"Delete refused events for good."`
}

// spoolFile names the spool of a command.
type spoolFile struct {
	Spool string `help:"The file of the spool." env:"BANYAN_PUBLISH_SPOOL" required:"" placeholder:"FILE"`
}

// asJSON is for machines.
type asJSON struct {
	JSON bool `name:"json" help:"Print JSON." env:"BANYAN_PUBLISH_JSON"`
}

type inspectCommand struct {
	spoolFile
	asJSON
	Entries int    `help:"Most events to list." default:"20" env:"BANYAN_PUBLISH_ENTRIES"`
	After   uint64 `help:"List those behind this number." default:"0"`
}

// Run prints what is in the spool.
func (c *inspectCommand) Run(ctx context.Context, parsed *kong.Context) error {
	most := c.Entries
	if most <= 0 {
		most = -1
	}
	in, err := spool.Inspect(ctx, c.Spool, spool.InspectOptions{Entries: most, After: c.After, Refused: most, Keys: most})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(parsed.Stdout, in)
	}
	return printInspection(parsed.Stdout, in)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printInspection(w io.Writer, in spool.Inspection) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s, %d bytes\n", in.Path, in.FileBytes)
	if in.Holder != "" {
		fmt.Fprintf(t, "used by\t%s\n", in.Holder)
	}
	if in.Damage != "" {
		fmt.Fprintf(t, "DAMAGED\t%s; the next start sets the file aside and saves what is readable\n", in.Damage)
	}
	for _, s := range in.Salvages {
		fmt.Fprintf(t, "salvaged\t%s\n", s)
	}
	fmt.Fprintf(t, "waiting\t%s, %d bytes", count(in.Events), in.Bytes)
	if in.Events > 0 {
		fmt.Fprintf(t, ", the oldest for %s", in.OldestAge.Round(time.Millisecond))
	}
	fmt.Fprintf(t, "\nrefused\t%s, %d bytes\n", count(in.Refused), in.RefusedBytes)
	fmt.Fprintf(t, "so far\t%d taken in, %d sent\n", in.TakenIn, in.Forwarded)
	if in.Moving {
		fmt.Fprintln(t, "note\tit changed while it was read: numbers and lists may be of slightly different times")
	}
	printKeys(t, in)
	printEntries(t, in.Entries)
	printRefused(t, in.RefusedEntries)
	return t.Flush()
}

func printKeys(t io.Writer, in spool.Inspection) {
	if len(in.Keys) == 0 {
		return
	}
	fmt.Fprintf(t, "\nPARTITION KEY\tEVENTS\tBYTES\n")
	for _, k := range in.Keys {
		fmt.Fprintf(t, "%s\t%d\t%d\n", printable(k.PartitionKey), k.Events, k.Bytes)
	}
}

func printEntries(t io.Writer, entries []spool.Entry) {
	if len(entries) == 0 {
		return
	}
	fmt.Fprintf(t, "\nNUMBER\tTAKEN IN\tKEY\tTYPE\tID\tBYTES\n")
	for _, e := range entries {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\n", e.Number, e.TakenIn.Format(time.RFC3339), printable(e.PartitionKey), typeOf(e), printable(e.ID), e.Bytes)
	}
}

func printRefused(t io.Writer, refused []spool.Refused) {
	if len(refused) == 0 {
		return
	}
	fmt.Fprintf(t, "\nREFUSED\tAT\tKEY\tTYPE\tID\tREASON\n")
	for _, r := range refused {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Number, r.RefusedAt.Format(time.RFC3339), printable(r.PartitionKey), typeOf(r.Entry), printable(r.ID), printable(r.Reason))
	}
}

func typeOf(e spool.Entry) string {
	if e.Malformed != "" {
		return "(malformed)"
	}
	return printable(e.Type)
}

// printable keeps what came from outside from moving the cursor.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func count(n uint64) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

type drainCommand struct {
	spoolFile
	asJSON
	Timeout time.Duration `help:"Longest that it may take; 0 as long as it takes." default:"0" env:"BANYAN_PUBLISH_TIMEOUT"`
	Stream  streamFlags   `embed:""`
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
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	to, err := c.Stream.open(ctx)
	if err != nil {
		return err
	}
	defer leave(to)
	keep := keepSpoolFlags{Spool: c.Spool}
	cfg := keep.config(&c.Stream, log)
	cfg.LockTimeout = lockTimeout
	s, err := openExisting(ctx, cfg)
	if err != nil {
		return err
	}
	began, before := time.Now(), s.Status()
	end := showProgress(parsed.Stderr, s)
	failed := s.DrainAll(ctx, to)
	end()
	after := s.Status()
	summary := drained{Sent: after.Forwarded - before.Forwarded, Left: after.Events, Seconds: time.Since(began).Seconds()}
	if err := closeIn(s.Close); err != nil {
		return errors.Join(failed, err)
	}
	if err := c.tell(parsed.Stdout, summary); err != nil {
		return err
	}
	if failed == nil && after.Refused > 0 {
		failed = fmt.Errorf("the stream refused %s, see above: mend the cause and spool redrive, or spool discard", count(after.Refused))
	}
	return failed
}

// leave ends a publisher behind a spool at once: what it has not sent is still in
// there, and told from there.
func leave(p *kinesis.Publisher) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Close(now)
}

// lockTimeout is how long a command waits for a sidecar that is just ending.
const lockTimeout = time.Second

// closeTimeout bounds letting go of a file or a database.
const closeTimeout = 5 * time.Second

// closeIn closes within closeTimeout.
func closeIn(closer func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return closer(ctx)
}

// openExisting does not make a spool where there is none.
func openExisting(ctx context.Context, cfg spool.Config) (*spool.Spool, error) {
	if _, err := spool.Inspect(ctx, cfg.Path, spool.InspectOptions{Entries: -1, Refused: -1, Keys: -1}); err != nil {
		return nil, err
	}
	return openSpool(ctx, cfg)
}

func (c *drainCommand) tell(w io.Writer, summary drained) error {
	summary.Refused = []spool.Refused{}
	if refused, err := spool.Inspect(context.Background(), c.Spool, spool.InspectOptions{Entries: -1, Refused: 1000, Keys: -1}); err == nil && refused.Refused > 0 {
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

// showProgress writes a line a second until its end is called.
func showProgress(w io.Writer, s *spool.Spool) (end func()) {
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
			fmt.Fprintf(w, "sent %d of %d events, %.0f a second%s\n", sent, sent+st.Events, float64(sent)/time.Since(began).Seconds(), lastError(st))
		}
	}()
	return func() { close(stop); <-done }
}

// selection says which refused events.
type selection struct {
	ID     []string `name:"id" help:"Events with these ids."`
	Number []uint64 `help:"Events with these numbers."`
	All    bool     `help:"All of them."`
}

// Validate is called by kong.
func (s *selection) Validate() error {
	if !s.All && len(s.ID)+len(s.Number) == 0 {
		return errors.New("say which: --id, --number or --all")
	}
	return nil
}

func (s *selection) match(r spool.Refused) bool {
	return s.All || slices.Contains(s.Number, r.Number) || r.ID != "" && slices.Contains(s.ID, r.ID)
}

type redriveCommand struct {
	spoolFile
	selection
}

// Run puts them back; spool drain or the next sidecar sends them.
func (c *redriveCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	return withRefused(ctx, c.Spool, log, func(s *spool.Spool) error {
		n, err := s.Redrive(ctx, c.match)
		return tellRefused(parsed.Stdout, n, "put back; spool drain, or the next sidecar, sends them", err)
	})
}

type discardCommand struct {
	spoolFile
	selection
}

// Run deletes them.
func (c *discardCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	return withRefused(ctx, c.Spool, log, func(s *spool.Spool) error {
		n, err := s.RemoveRefused(ctx, c.match)
		return tellRefused(parsed.Stdout, n, "deleted", err)
	})
}

func tellRefused(w io.Writer, n int, what string, err error) error {
	if n > 0 {
		fmt.Fprintf(w, "%s %s\n", count(uint64(n)), what)
	} else if err == nil {
		return errors.New("no refused event is like that; spool inspect lists them")
	}
	return err
}

func withRefused(ctx context.Context, path string, log *slog.Logger, do func(*spool.Spool) error) error {
	s, err := openExisting(ctx, spool.Config{Path: path, LockTimeout: lockTimeout, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(do(s), closeIn(s.Close))
}
