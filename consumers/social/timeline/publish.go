package timeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// publish writes the post, which later followers copy, then an entry for each present
// follower.
func (m *Model) publish(ctx context.Context, pos events.Position, p social.PostPublished) error {
	e := Entry{PostID: p.PostID, AuthorID: p.AuthorID, Text: p.Text, PublishedAt: p.PublishedAt}
	err := m.writer.Apply(ctx, postChange(e, pos), readmodel.Watermark(p.AuthorID, pos))
	stale := errors.Is(err, consumers.ErrStale)
	if err != nil && !stale {
		return fmt.Errorf("write the post: %w", err)
	}
	var done progress
	if stale { // it was deleted, or an earlier delivery wrote it and may have been interrupted
		_, ok, err := m.readPost(ctx, e.AuthorID, e.PostID, &done)
		if err != nil {
			return err
		}
		if !ok {
			return consumers.ErrStale
		}
	}
	if err := m.trimSometimes(ctx, e.AuthorID, e.PostID); err != nil {
		return err
	}
	if err := m.fanOut(ctx, e, done); err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	if stale {
		return consumers.ErrStale
	}
	return nil
}

func postChange(e Entry, pos events.Position) once.Change {
	post := once.At(pos, dynamo.Item{attrText: dynamo.String(e.Text), attrAt: dynamo.String(formatTime(e.PublishedAt))})
	return once.Change{Ops: []once.Op{
		once.Put(postKey(e.AuthorID, e.PostID), post, once.Absent()),
		putEntry(e.AuthorID, e),
	}}
}

// readPost reads a post and how far its fan-out got; not ok is one that was deleted or
// never was.
func (m *Model) readPost(ctx context.Context, author, post string, into *progress) (e Entry, ok bool, err error) {
	item, err := readmodel.GetItem(ctx, m.cfg.Client, m.cfg.Table, postKey(author, post))
	if err != nil {
		return e, false, fmt.Errorf("read the progress of the fan-out: %w", err)
	}
	into.follower = dynamo.StringOf(item, attrFanned)
	if into.count, err = dynamo.IntOf(item, attrCount); err != nil {
		return e, false, fmt.Errorf("post %s of %s: %w", post, author, err)
	}
	return DecodePost(item)
}
