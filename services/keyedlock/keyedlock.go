// Package keyedlock serializes operations on the same key within one process. A
// service writes and publishes the event of the write under one lock, so that the
// events of a key are published in the order of its writes:
//
//	release, err := locks.Acquire(ctx, order.CustomerID)
//	if err != nil {
//		return err
//	}
//	defer release()
//
// The lock ends at the process: two instances of a service do not exclude each other.
package keyedlock

import (
	"context"
	"fmt"
	"hash/maphash"
)

// slotCount bounds memory; keys that share a slot wait for each other.
const slotCount = 512

// Lock is a mutex for each key. Make one with New. Safe for concurrent use.
type Lock struct {
	seed  maphash.Seed
	slots []chan struct{}
}

// New returns a Lock of which no key is locked.
func New() *Lock {
	l := &Lock{seed: maphash.MakeSeed(), slots: make([]chan struct{}, slotCount)}
	for i := range l.slots {
		l.slots[i] = make(chan struct{}, 1)
	}
	return l
}

// Acquire locks key, waiting until ctx ends at most. Call release exactly once. A
// goroutine must not acquire a second key while it holds one: the two may share a slot.
func (l *Lock) Acquire(ctx context.Context, key string) (release func(), err error) {
	slot := l.slots[maphash.String(l.seed, key)%slotCount]
	select {
	case slot <- struct{}{}:
		return func() { <-slot }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the lock of key %q: %w", key, ctx.Err())
	}
}
