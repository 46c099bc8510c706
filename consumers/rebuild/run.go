package rebuild

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/consumers/archive"
	"github.com/banyan-fig/banyan/consumers/replay"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// Rebuild fills the new table. Control, Plan, Live, Replay and Stream are required.
type Rebuild struct {
	Control Control
	Plan    Plan
	// Live is the table that readers have before there is a pointer.
	Live string
	// Replay delivers to the function, with its rate.
	Replay *replay.Replay
	// Archive is read before the stream. May be nil.
	Archive archive.Store
	Stream  *replay.Stream
	// Round is how long shards are read before new ones are looked for. 0: 10 s.
	Round time.Duration
	// Pause between two rounds that found all read. 0: 1 s.
	Pause time.Duration
	// Noted is called with each state that was kept. May be nil.
	Noted func(State)
}

// fresh is how far behind the stream a table is that has caught up with one that is never idle.
const fresh = time.Minute

// Run replays the archive, then the stream, and follows it until ctx ends, whose cause it
// returns. What was delivered and not kept before it ended is delivered again by the next Run.
func (r *Rebuild) Run(ctx context.Context) error {
	if err := r.pointAtLive(ctx); err != nil {
		return err
	}
	run := uuid.NewString()
	s, err := r.Control.claim(ctx, r.Plan, run)
	if err != nil {
		return err
	}
	note := func(p replay.Progress) error {
		s.Replay = p
		err := r.Control.write(ctx, &s, run, false)
		if err == nil && r.Noted != nil {
			r.Noted(s)
		}
		return err
	}
	progress := s.Replay
	if !s.Archived {
		sources := replay.Sources{Archive: r.Archive}
		if _, err := sources.Replay(ctx, r.Replay, archive.Range{}, &progress, note); err != nil {
			return fmt.Errorf("replay the archive to %s: %w", r.Plan.Table, err)
		}
		s.Archived = true
	}
	for {
		if err := r.round(ctx, &s, &progress, note); err != nil {
			return fmt.Errorf("follow stream %s into %s: %w", r.Plan.Stream, r.Plan.Table, err)
		}
	}
}

// pointAtLive makes sure that there is a pointer, and that it is not at the table that is to be
// filled for the first time.
func (r *Rebuild) pointAtLive(ctx context.Context) error {
	p, err := r.Control.Pointer(ctx, r.Plan.Model)
	if err != nil {
		return err
	}
	if live := cmp.Or(p.Table, r.Live); live == r.Plan.Table && p.Former == "" {
		return fmt.Errorf("%s is the live table of %q: name another to build", live, r.Plan.Model)
	}
	if p.Epoch == 0 {
		_, err = r.Control.pointers().Set(ctx, p, r.Live, "")
	}
	return err
}

// round delivers what the shards have that there are now. Not until a time of arrival: these go
// backwards, and an event that was left out would stay behind what was noted.
func (r *Rebuild) round(ctx context.Context, s *State, p *replay.Progress, note func(replay.Progress) error) error {
	began := time.Now()
	merge, err := r.Stream.Open(ctx, archive.Range{After: p.After})
	if err != nil {
		return err
	}
	part := &part{cursor: merge, length: cmp.Or(r.Round, 10*time.Second)}
	if err := r.Replay.Run(ctx, part, p, note); err != nil {
		return err
	}
	if part.isAll || time.Since(p.Through) < fresh {
		s.CaughtUp = began.UTC()
	}
	if err := note(*p); err != nil || !part.isAll {
		return err
	}
	return backoff.Sleep(ctx, cmp.Or(r.Pause, time.Second))
}

// part ends a cursor: a merge of shards that are never idle would not end, and would not come
// back to those that were.
type part struct {
	cursor archive.Cursor
	length time.Duration
	end    time.Time // from the first record on, since opening many shards takes its time
	isAll  bool      // the cursor ended by itself
}

// Next implements [archive.Cursor].
func (p *part) Next(ctx context.Context) (archive.Record, error) {
	if !p.end.IsZero() && time.Now().After(p.end) {
		return archive.Record{}, io.EOF
	}
	record, err := p.cursor.Next(ctx)
	p.isAll = err == io.EOF
	if p.end.IsZero() {
		p.end = time.Now().Add(p.length)
	}
	return record, err
}
