package timeline

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// maxListed is how many bytes of ids of deleted posts a card lists, so that it fits into
// one read unit; 2,000 are 55 UUIDs.
const maxListed = 2000

// card is what a reader has to know of an author, in one item: the name, and what of the
// author's no longer shows.
type card struct {
	name    string
	left    bool
	deleted []string // posts
	many    bool     // more were deleted: each post has to be looked up
}

func decodeCard(item dynamo.Item) card {
	c := card{name: dynamo.StringOf(item, attrName), left: dynamo.BoolOf(item, attrLeft), many: dynamo.BoolOf(item, attrMany)}
	for name := range item {
		if post, ok := strings.CutPrefix(name, prefixDeleted); ok {
			c.deleted = append(c.deleted, post)
		}
	}
	return c
}

// hides reports whether a post of the author does not show, as far as the card says.
func (c card) hides(post string) bool { return c.left || slices.Contains(c.deleted, post) }

// rename keeps the newest name of a user.
func (m *Model) rename(ctx context.Context, pos events.Position, user string, version int64, name string) error {
	c := readmodel.NewestVersion(version, pos)
	c.Names["#name"], c.Values[":name"] = attrName, dynamo.String(name)
	return m.updateCard(ctx, pos, user, once.Update(nameKey(user), "SET #name = :name, #version = :version, #pos = :pos", c))
}

// leave takes the name out of the card. Its version is the last, which no name exceeds.
func (m *Model) leave(ctx context.Context, pos events.Position, user string) error {
	c := readmodel.NewestVersion(math.MaxInt64, pos)
	c.Names["#name"], c.Names["#left"], c.Values[":left"] = attrName, attrLeft, dynamo.Bool(true)
	return m.updateCard(ctx, pos, user, once.Update(nameKey(user), "SET #left = :left, #version = :version, #pos = :pos REMOVE #name", c))
}

func (m *Model) updateCard(ctx context.Context, pos events.Position, user string, update once.Op) error {
	return m.writer.Apply(ctx, once.Change{Ops: []once.Op{update}}, readmodel.Watermark(user, pos))
}

// deletePost leaves a mark in the post's place, which refuses the post should it be
// delivered only now, and lists it in the author's card, which takes it out of every
// timeline at once.
func (m *Model) deletePost(ctx context.Context, pos events.Position, p social.PostDeleted) error {
	item, err := readmodel.GetItem(ctx, m.cfg.Client, m.cfg.Table, nameKey(p.AuthorID))
	if err != nil {
		return fmt.Errorf("read the deletions of %s: %w", p.AuthorID, err)
	}
	mark := once.Put(postKey(p.AuthorID, p.PostID), once.At(pos, dynamo.Item{attrDeleted: dynamo.Bool(true)}), once.Condition{
		Text: "attribute_not_exists(#deleted)", Names: map[string]string{"#deleted": attrDeleted},
	})
	change := once.Change{Ops: []once.Op{mark, once.Delete(entryKey(p.AuthorID, p.PostID)), listDeletion(p, decodeCard(item))}}
	return m.writer.Apply(ctx, change, readmodel.Watermark(p.AuthorID, pos))
}

// listDeletion lists the post, or that there are too many of them. Handlers that read the
// card at the same moment list one too many, which does no harm.
func listDeletion(p social.PostDeleted, c card) once.Op {
	listed := len(p.PostID)
	for _, id := range c.deleted {
		listed += len(id)
	}
	name := prefixDeleted + p.PostID
	if listed > maxListed {
		name = attrMany
	}
	return once.Update(nameKey(p.AuthorID), "SET #name = :true", once.Condition{
		Names: map[string]string{"#name": name}, Values: dynamo.Item{":true": dynamo.Bool(true)},
	})
}
