package users

import (
	"context"
	"fmt"
	"hash/maphash"
)

// stripes lets one write and its event finish before the next of the same user,
// so that events are published in the order of the writes. Users share stripes.
type stripes struct {
	seed  maphash.Seed
	turns []chan struct{}
}

func newStripes() stripes {
	s := stripes{seed: maphash.MakeSeed(), turns: make([]chan struct{}, 256)}
	for i := range s.turns {
		s.turns[i] = make(chan struct{}, 1)
	}
	return s
}

// acquire waits for the turn of id until ctx ends.
func (s stripes) acquire(ctx context.Context, id string) (release func(), err error) {
	turn := s.turns[maphash.String(s.seed, id)%uint64(len(s.turns))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for an earlier write of user %s: %w", id, ctx.Err())
	}
}
