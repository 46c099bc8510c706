package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/publishers/spool"
)

// selection selects refused events.
type selection struct {
	ID     []string `name:"id" help:"Events with these ids."`
	Number []uint64 `help:"Events with these numbers."`
	All    bool     `help:"All of them."`
}

// Validate is called by kong.
func (s *selection) Validate() error {
	if !s.All && len(s.ID)+len(s.Number) == 0 {
		return errors.New("missing --id, --number or --all")
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

// Run moves them back into the queue; spool drain or the next sidecar sends them.
func (c *redriveCommand) Run(ctx context.Context, parsed *kong.Context, log *slog.Logger) error {
	return withRefused(ctx, c.Spool, log, func(s *spool.Spool) error {
		n, err := s.Redrive(ctx, c.match)
		return reportRefused(parsed.Stdout, n, "put back; spool drain or the next sidecar sends them", err)
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
		return reportRefused(parsed.Stdout, n, "deleted", err)
	})
}

func reportRefused(w io.Writer, n int, what string, err error) error {
	if n > 0 {
		fmt.Fprintf(w, "%s %s\n", count(uint64(n)), what)
	} else if err == nil {
		return errors.New("no such refused event; spool inspect lists them")
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
