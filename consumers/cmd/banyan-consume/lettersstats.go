package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/consumers/deadletter"
)

type lettersStatsCommand struct {
	tableFlags
	asJSON
}

// Run prints the figures.
func (c *lettersStatsCommand) Run(ctx context.Context, parsed *kong.Context) error {
	store, err := c.open(ctx)
	if err != nil {
		return err
	}
	all, err := store.Stats(ctx)
	switch {
	case err != nil:
		return err
	case c.JSON:
		figures := []statsJSON{}
		for _, s := range all {
			figures = append(figures, statsJSON{s.Consumer, s.Waiting, s.Redriven, unlessZero(s.Oldest), unlessZero(s.Newest), s.Types, s.Reasons})
		}
		return printJSON(parsed.Stdout, map[string]any{"consumers": figures})
	case len(all) == 0:
		_, err := fmt.Fprintln(parsed.Stdout, "no dead letters")
		return err
	}
	return printStats(parsed.Stdout, all)
}

// statsJSON are the figures of a consumer for programs.
type statsJSON struct {
	Consumer string         `json:"consumer"`
	Waiting  int            `json:"waiting"`
	Redriven int            `json:"redriven"`
	Oldest   *time.Time     `json:"oldest,omitempty"`
	Newest   *time.Time     `json:"newest,omitempty"`
	Types    map[string]int `json:"types"`
	Reasons  map[string]int `json:"reasons"`
}

// mostShown is how many types and reasons are shown of each consumer.
const mostShown = 5

func printStats(w io.Writer, all []deadletter.Stats) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "CONSUMER\tWAITING\tREDRIVEN\tOLDEST\tNEWEST\n")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\n", printable(s.Consumer), s.Waiting, s.Redriven, timeText(s.Oldest), timeText(s.Newest))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		if s.Waiting == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s, by type and by reason:\n", printable(s.Consumer))
		printCounts(w, s.Types)
		printCounts(w, s.Reasons)
	}
	return nil
}

func printCounts(w io.Writer, counts map[string]int) {
	for i, name := range deadletter.ByCount(counts) {
		if i == mostShown {
			fmt.Fprintf(w, "%8s %d more: --json has them\n", "", len(counts)-i)
			return
		}
		if n := counts[name]; name == "" {
			fmt.Fprintf(w, "%8d (not decoded)\n", n)
		} else {
			fmt.Fprintf(w, "%8d %s\n", n, printable(name))
		}
	}
}
