package dynamodb

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/entity"
)

// Box is where the events of writes wait; nil where the plan names no table for it.
func (b *Backend) Box() direct.Box {
	if b.box == nil {
		return nil
	}
	return b.box
}

// EnsureOutbox makes the outbox's table unless it exists, and waits until it can be used.
func (b *Backend) EnsureOutbox(ctx context.Context) error {
	if b.box == nil {
		return nil
	}
	return outboxtable.Ensure(ctx, b.client, b.plan.Outbox.Table)
}

// Waiting implements entity.Backend.
func (b *Backend) Waiting(id bson.RawValue) (direct.Write, error) {
	key, err := b.codec.Key(id)
	if err != nil || b.box == nil {
		return direct.Write{}, err
	}
	return direct.Write{Box: b.box, Place: direct.Place(codec.KeyText(key)), Began: time.Now(), Unread: true}, nil
}

// commit makes a write of the document's version, with its events. What waits before them is
// read beside it: the write that came before this one has been read.
func (b *Backend) commit(ctx context.Context, g ownership.Grant, w entity.Write, version int64, steps []step) (direct.Write, error) {
	if len(w.Events) == 0 {
		return direct.Write{}, b.send(ctx, g, w, steps)
	}
	if b.box == nil {
		return direct.Write{}, fmt.Errorf("%w: the plan of %s names no table for events: set outbox.table", entity.ErrInvalid, b.plan.Entity)
	}
	entry, err := outboxtable.NewEntry(uint64(version), w.Events...)
	if err != nil {
		return direct.Write{}, fmt.Errorf("put the events into the outbox: %w", err)
	}
	own := entry.Direct()
	left := direct.Write{Box: b.box, Place: own.Place, Began: time.Now(), Own: []direct.Entry{own}}
	if w.Before == nil && w.Final {
		if err := b.behindWaiting(ctx, own.Place, version); err != nil {
			return direct.Write{}, err
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		waiting, err := b.box.Waiting(ctx, own.Place)
		left.Unread = err != nil
		left.Before = slices.DeleteFunc(waiting, func(e direct.Entry) bool { return e.ID == own.ID })
	}()
	err = b.send(ctx, g, w, append(steps, step{TransactWriteItem: entry.Item(b.plan.Outbox.Table), constraint: noConstraint}))
	<-read
	if err != nil {
		return direct.Write{}, err
	}
	return left, nil
}

// behindWaiting refuses a version whose events would come before some that wait. Without
// tombstones nothing else remembers the versions of a document that was deleted.
func (b *Backend) behindWaiting(ctx context.Context, place direct.Place, version int64) error {
	waiting, err := b.box.Waiting(ctx, place)
	if err != nil || len(waiting) == 0 {
		return err
	}
	order, _, _ := strings.Cut(waiting[len(waiting)-1].ID, ".")
	if last, err := strconv.ParseInt(order, 10, 64); err == nil && last >= version {
		return &entity.DeletedError{Version: last}
	}
	return nil
}
