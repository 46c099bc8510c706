package replay

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/consumers/archive"
)

// Sources are where the events of the past are. One of them may be nil.
type Sources struct {
	Archive archive.Store
	Stream  *Stream
}

// soon is how long the last reading of the archive alone may take. A longer one is followed by
// another, so that the stream still has what came meanwhile.
const soon = 10 * time.Minute

// Replay replays a part of what is archived, behind p.After, until nothing more is, and then what
// the stream has and the archive has not yet. Without an end it ends with what arrived before it
// began to read the stream; the time of that is returned, zero where there is no stream.
func (s Sources) Replay(
	ctx context.Context, r *Replay, within archive.Range, p *Progress, note func(Progress) error,
) (until time.Time, err error) {
	for s.Archive != nil {
		began := time.Now()
		if err := s.pass(ctx, r, within, p, note, nil); err != nil {
			return until, err
		}
		if time.Since(began) < soon {
			break
		}
	}
	if s.Stream == nil {
		return until, nil
	}
	if within.Until.IsZero() {
		within.Until = time.Now() // a stream has no end
	}
	return within.Until, s.pass(ctx, r, within, p, note, s.Stream)
}

// pass reads the archive once, to its end, and a stream with it.
func (s Sources) pass(ctx context.Context, r *Replay, within archive.Range, p *Progress, note func(Progress) error, stream *Stream) error {
	within.After = p.clone().After
	all := archive.NewMerge()
	if s.Archive != nil {
		reader, err := archive.NewReader(ctx, s.Archive, within)
		if err != nil {
			return err
		}
		defer reader.Close()
		all.Add(reader)
	}
	if stream != nil {
		live, err := stream.Open(ctx, within)
		if err != nil {
			return err
		}
		all.Add(live)
	}
	return r.Run(ctx, all, p, note)
}
