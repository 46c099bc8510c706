package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/publishers/spool"
)

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
	fmt.Fprintf(t, "so far\t%d enqueued, %d sent\n", in.Enqueued, in.Forwarded)
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
	fmt.Fprintf(t, "\nNUMBER\tENQUEUED AT\tKEY\tTYPE\tID\tBYTES\n")
	for _, e := range entries {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%d\n", e.Number, e.EnqueuedAt.Format(time.RFC3339), printable(e.PartitionKey), typeOf(e), printable(e.ID), e.Bytes)
	}
}

func printRefused(t io.Writer, refused []spool.Refused) {
	if len(refused) == 0 {
		return
	}
	fmt.Fprintf(t, "\nREFUSED\tAT\tKEY\tTYPE\tID\tREASON\n")
	for _, r := range refused {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Number, r.RefusedAt.Format(time.RFC3339),
			printable(r.PartitionKey), typeOf(r.Entry), printable(r.ID), printable(r.Reason))
	}
}

func typeOf(e spool.Entry) string {
	if e.Malformed != "" {
		return "(malformed)"
	}
	return printable(e.Type)
}

// printable escapes control characters in text from outside.
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
