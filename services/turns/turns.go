// Package turns lets operations on the same key run one after the other, within
// one process. A write and the event that tells of it take one turn, so that the
// events of a key are published in the order of its writes. Two processes know
// nothing of each other's turns.
package turns

import (
	"context"
	"fmt"
	"hash/maphash"
)

// slots bounds memory; keys that share a slot wait for each other.
const slots = 512

// Turns is safe for concurrent use. Make one with New.
type Turns struct {
	seed  maphash.Seed
	turns []chan struct{}
}

// New makes Turns, all free.
func New() *Turns {
	t := &Turns{seed: maphash.MakeSeed(), turns: make([]chan struct{}, slots)}
	for i := range t.turns {
		t.turns[i] = make(chan struct{}, 1)
	}
	return t
}

// Take waits for the turn of key until ctx ends. Call release exactly once.
func (t *Turns) Take(ctx context.Context, key string) (release func(), err error) {
	turn := t.turns[maphash.String(t.seed, key)%slots]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for an earlier write of %s: %w", key, ctx.Err())
	}
}
