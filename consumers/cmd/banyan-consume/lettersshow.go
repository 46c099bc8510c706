package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/deadletter"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/serving"
)

type lettersShowCommand struct {
	tableFlags
	asJSON
	Consumer string   `arg:"" help:"Name of the consumer."`
	Position position `arg:"" help:"Position of the letter, as the list shows it."`
	Stream   string   `help:"ARN of its stream, where letters of several have that position." placeholder:"ARN"`
	Raw      bool     `help:"Print the bytes of the event and nothing else."`
}

// position is an argument.
type position struct{ events.Position }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *position) UnmarshalText(text []byte) (err error) {
	if p.Position, err = events.ParsePosition(string(text)); err == nil && p.IsZero() {
		err = errors.New("empty position: give one as the list shows it")
	}
	return err
}

// Run prints the letter.
func (c *lettersShowCommand) Run(ctx context.Context, parsed *kong.Context) error {
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	id, err := findLetter(ctx, store, c.Table, c.Consumer, c.Position.Position, c.Stream)
	if err != nil {
		return err
	}
	l, err := store.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case c.Raw:
		_, err = parsed.Stdout.Write(l.Raw)
		return err
	case c.JSON:
		return printJSON(parsed.Stdout, newLetterJSON(l))
	}
	return printLetter(parsed.Stdout, l)
}

// findLetter returns the id of the only letter at a position, or of that of the stream.
func findLetter(ctx context.Context, store *deadletter.Store, table, consumer string, p events.Position, stream string) (deadletter.ID, error) {
	if stream != "" {
		return deadletter.ID{Consumer: consumer, Position: p, Stream: stream}, nil
	}
	ids, err := store.At(ctx, consumer, p)
	switch {
	case err != nil:
		return deadletter.ID{}, err
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) == 0:
		if err := checkConsumer(ctx, store, table, consumer); err != nil {
			return deadletter.ID{}, err
		}
		return deadletter.ID{}, fmt.Errorf("%s of %s: %w", p, consumer, deadletter.ErrNotFound)
	}
	streams := ""
	for _, id := range ids {
		streams += "\n  --stream=" + id.Stream
	}
	return deadletter.ID{}, fmt.Errorf("%w: letters of several streams have the position %s; give one of%s", serving.ErrUsage, p, streams)
}

func printLetter(w io.Writer, l deadletter.Letter) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"consumer", l.Consumer}, {"position", l.Position.String()}, {"stream", l.Stream}, {"shard", l.Shard},
		{"partition key", l.PartitionKey}, {"event id", l.EventID}, {"event type", l.EventType},
		{"arrived", timeText(l.Arrived)}, {"given up", timeText(l.At)}, {"redriven", timeText(l.RedrivenAt)}, {"reason", l.Reason},
	} {
		if line[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d bytes:\n%s\n", l.Size, printable(string(l.Raw)))
	return err
}
