package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/infra/awssdk"
)

type lettersListCommand struct {
	tableFlags
	filterFlags
	asJSON
	queueFlag
	Consumer string `arg:"" optional:"" help:"Name of the consumer, such as stats shows."`
	Redriven bool   `help:"Those that were redriven, too."`
	Limit    int    `help:"Most to list; 0 for all." default:"20" env:"BANYAN_CONSUME_LIMIT"`
}

// Validate is called by kong.
func (c *lettersListCommand) Validate() error { return c.queueFlag.validate(c.Consumer, c.filterFlags) }

// Run prints the list.
func (c *lettersListCommand) Run(ctx context.Context, parsed *kong.Context) error {
	if c.Queue != "" {
		sdk, err := awssdk.Load(ctx)
		if err != nil {
			return err
		}
		return c.listQueue(ctx, sdk, parsed.Stdout, parsed.Stderr)
	}
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	var listed []deadletter.Letter
	options := c.options()
	options.Redriven = c.Redriven
	more := false
	err = eachLetter(ctx, store, c.Consumer, options, func(l deadletter.Letter) bool {
		if more = c.Limit > 0 && len(listed) == c.Limit; !more {
			listed = append(listed, l)
		}
		return !more
	})
	if err == nil && len(listed) == 0 {
		err = checkConsumer(ctx, store, c.Table, c.Consumer)
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		all := []letterJSON{}
		for _, l := range listed {
			all = append(all, newLetterJSON(l))
		}
		return printJSON(parsed.Stdout, map[string]any{"letters": all, "more": more})
	}
	return printLetters(parsed.Stdout, c.Consumer, listed, more)
}

// eachLetter calls do with letters in the order of their positions, without their bytes, until it
// returns false.
func eachLetter(
	ctx context.Context, store *deadletter.Store, consumer string, options deadletter.ListOptions, do func(deadletter.Letter) bool,
) error {
	for options.Limit = 100; ; {
		page, err := store.List(ctx, consumer, options)
		if err != nil {
			return err
		}
		for _, l := range page.Letters {
			if !do(l) {
				return nil
			}
		}
		if options.Cursor = page.Next; options.Cursor == "" {
			return nil
		}
	}
}

func printLetters(w io.Writer, consumer string, listed []deadletter.Letter, more bool) error {
	if len(listed) == 0 {
		_, err := fmt.Fprintf(w, "no dead letters of %s are left that fit\n", printable(consumer))
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "POSITION\tGIVEN UP\tTYPE\tKEY\tBYTES\tREASON\n")
	for _, l := range listed {
		reason := printable(strings.ReplaceAll(l.Reason, "\n", "; "))
		if !l.RedrivenAt.IsZero() {
			reason = "(redriven " + timeText(l.RedrivenAt) + ") " + reason
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", l.Position, timeText(l.At), printable(l.EventType), printable(l.PartitionKey), l.Size, reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintln(w, "and more: --limit=0 lists all")
	}
	return nil
}

// letterJSON is a dead letter for programs.
type letterJSON struct {
	Consumer     string     `json:"consumer"`
	Position     string     `json:"position"`
	Stream       string     `json:"stream,omitempty"`
	Shard        string     `json:"shard,omitempty"`
	PartitionKey string     `json:"partition_key"`
	EventID      string     `json:"event_id,omitempty"`
	EventType    string     `json:"event_type,omitempty"`
	Reason       string     `json:"reason"`
	Size         int        `json:"size"`
	Arrived      *time.Time `json:"arrived,omitempty"`
	At           *time.Time `json:"at,omitempty"`
	RedrivenAt   *time.Time `json:"redriven_at,omitempty"`
	Raw          []byte     `json:"raw,omitempty"` // in Base64
}

func newLetterJSON(l deadletter.Letter) letterJSON {
	return letterJSON{
		Consumer: l.Consumer, Position: l.Position.String(), Stream: l.Stream, Shard: l.Shard, PartitionKey: l.PartitionKey,
		EventID: l.EventID, EventType: l.EventType, Reason: l.Reason, Size: l.Size, Raw: l.Raw,
		Arrived: unlessZero(l.Arrived), At: unlessZero(l.At), RedrivenAt: unlessZero(l.RedrivenAt),
	}
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
