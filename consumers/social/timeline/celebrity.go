package timeline

import (
	"context"
	"fmt"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// celebrity is what the table says of an author with more followers than the threshold.
type celebrity struct {
	exists bool
	marked string // follower up to whom the followers have their marks
	done   bool   // all have
}

func (m *Model) readCelebrity(ctx context.Context, author string) (celebrity, error) {
	item, err := readmodel.GetItem(ctx, m.cfg.Client, m.cfg.Table, celebrityKey(author))
	if err != nil {
		return celebrity{}, fmt.Errorf("read whether %s is a celebrity: %w", author, err)
	}
	return celebrity{exists: len(item) > 0, marked: dynamo.StringOf(item, attrMarked), done: dynamo.BoolOf(item, attrDone)}, nil
}

// celebrity reads whether the author is one, after making them one if so told, which
// nothing undoes.
func (m *Model) celebrity(ctx context.Context, author string, make bool) (celebrity, error) {
	c, err := m.readCelebrity(ctx, author)
	if err != nil || c.exists || !make {
		return c, err
	}
	if _, err := m.writer.Write(ctx, once.Change{Ops: []once.Op{once.Put(celebrityKey(author), nil, once.Absent())}}); err != nil {
		return c, fmt.Errorf("make %s a celebrity: %w", author, err)
	}
	return celebrity{exists: true}, nil // from the first follower on, whoever else has begun
}

// mark writes to every follower, a page at a time, that they follow a celebrity. Who
// follows later does so without it.
func (m *Model) mark(ctx context.Context, author string, c celebrity) error {
	for !c.done {
		followers, next, err := m.followers(ctx, author, c.marked)
		if err != nil {
			return err
		}
		if err := m.writeToFollowers(ctx, author, followers, func(follower string) once.Op { return putMark(follower, author) }); err != nil {
			return fmt.Errorf("mark the followers of %s: %w", author, err)
		}
		c.marked, c.done = next, next == ""
		if err := m.storeMarked(ctx, author, c); err != nil {
			return fmt.Errorf("mark the followers of %s: %w", author, err)
		}
		if !c.done && m.cfg.Enqueue != nil {
			return m.enqueue(ctx, task{Author: author})
		}
	}
	return nil
}

func putMark(user, author string) once.Op {
	return once.Put(markKey(user, author), nil, once.Condition{})
}

// storeMarked keeps the greatest progress.
func (m *Model) storeMarked(ctx context.Context, author string, c celebrity) error {
	update := once.Update(celebrityKey(author), "SET #done = :true", once.Condition{
		Names: map[string]string{"#done": attrDone}, Values: dynamo.Item{":true": dynamo.Bool(true)},
	})
	if !c.done {
		update = once.Update(celebrityKey(author), "SET #marked = :marked", once.Condition{
			Text:   "attribute_not_exists(#marked) OR #marked < :marked",
			Names:  map[string]string{"#marked": attrMarked},
			Values: dynamo.Item{":marked": dynamo.String(c.marked)},
		})
	}
	_, err := m.writer.Write(ctx, once.Change{Ops: []once.Op{update}})
	return err
}
