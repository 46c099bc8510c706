package timeline

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/aws/aws-sdk-go-v2/aws"

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
	start, stale := "", errors.Is(err, consumers.ErrStale)
	if err != nil && !stale {
		return fmt.Errorf("write the post: %w", err)
	}
	if stale { // it was deleted, or an earlier delivery wrote it and may have been interrupted
		post, err := readmodel.GetItem(ctx, m.cfg.Client, m.cfg.Table, postKey(e.AuthorID, e.PostID))
		if err != nil {
			return fmt.Errorf("read the progress of the fan-out: %w", err)
		}
		if dynamo.BoolOf(post, attrDeleted) {
			return consumers.ErrStale
		}
		start = dynamo.StringOf(post, attrFanned)
	}
	if err := m.fanOut(ctx, e, start); err != nil {
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
		putEntry(e.AuthorID, e.AuthorID, e.PostID),
	}}
}

// deletePost leaves a mark in the post's place, which takes it out of every timeline at
// once and refuses the post should it be delivered only now.
func (m *Model) deletePost(ctx context.Context, pos events.Position, p social.PostDeleted) error {
	mark := once.Put(postKey(p.AuthorID, p.PostID), once.At(pos, dynamo.Item{attrDeleted: dynamo.Bool(true)}), once.Condition{
		Text: "attribute_not_exists(#deleted)", Names: map[string]string{"#deleted": attrDeleted},
	})
	change := once.Change{Ops: []once.Op{mark, once.Delete(entryKey(p.AuthorID, p.PostID))}}
	return m.writer.Apply(ctx, change, readmodel.Watermark(p.AuthorID, pos))
}

// fanOut writes the entry for every follower after start, a page at a time. For users who
// follow after their page was read, the follow copies the post.
func (m *Model) fanOut(ctx context.Context, e Entry, start string) error {
	if err := m.trimSometimes(ctx, e.AuthorID, e.PostID); err != nil {
		return err
	}
	for {
		followers, next, err := m.followers(ctx, e.AuthorID, start)
		if err != nil {
			return err
		}
		if err := m.deliver(ctx, e, followers); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		if err := m.storeProgress(ctx, e, next); err != nil {
			return err
		}
		start = next
	}
}

// followers reads a page of the author's followers; next is where it ended, ""
// after the last page.
func (m *Model) followers(ctx context.Context, author, after string) (followers []string, next string, err error) {
	in := partitionQuery(m.cfg.Table, prefixFollowers+author)
	in.ProjectionExpression = aws.String("#sk, #following")
	in.ExpressionAttributeNames["#sk"], in.ExpressionAttributeNames["#following"] = dynamo.AttrSK, attrFollowing
	in.Limit = aws.Int32(int32(m.cfg.Page))
	if after != "" {
		in.ExclusiveStartKey = edgeKey(after, author).Item()
	}
	out, err := m.cfg.Client.Query(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("read the followers of %s: %w", author, err)
	}
	for _, item := range out.Items {
		if dynamo.BoolOf(item, attrFollowing) {
			followers = append(followers, dynamo.StringOf(item, dynamo.AttrSK))
		}
	}
	return followers, dynamo.StringOf(out.LastEvaluatedKey, dynamo.AttrSK), nil
}

// deliver writes the entry for each follower who still follows at the time of the write.
func (m *Model) deliver(ctx context.Context, e Entry, followers []string) error {
	if len(followers) == 0 {
		return nil
	}
	changes := make([]once.Change, len(followers))
	for i, follower := range followers {
		changes[i] = once.Change{Ops: []once.Op{once.Check(edgeKey(follower, e.AuthorID), stillFollows()), putEntry(follower, e.AuthorID, e.PostID)}}
	}
	if _, err := m.writer.Write(ctx, changes...); err != nil {
		return err
	}
	for _, follower := range followers {
		if err := m.trimSometimes(ctx, follower, e.PostID); err != nil {
			return err
		}
	}
	return nil
}

func stillFollows() once.Condition {
	return once.Condition{
		Text:   "#following = :true",
		Names:  map[string]string{"#following": attrFollowing},
		Values: dynamo.Item{":true": dynamo.Bool(true)},
	}
}

func (m *Model) storeProgress(ctx context.Context, e Entry, follower string) error {
	_, err := m.writer.Write(ctx, once.Change{Ops: []once.Op{
		once.Update(postKey(e.AuthorID, e.PostID), "SET #fanned = :follower", once.Condition{
			Text:   "attribute_exists(#pk) AND (attribute_not_exists(#fanned) OR #fanned < :follower)",
			Names:  map[string]string{"#pk": dynamo.AttrPK, "#fanned": attrFanned},
			Values: dynamo.Item{":follower": dynamo.String(follower)},
		}),
	}})
	return err
}

// trimEvery is how many entries a timeline gets, on average, between two checks of its
// length.
const trimEvery = 64

// trimSometimes cuts the timeline to its cap at about every 64th entry. The ids decide,
// so that a repeated delivery does the same.
func (m *Model) trimSometimes(ctx context.Context, user, post string) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user + "/" + post))
	if h.Sum32()%trimEvery != 0 {
		return nil
	}
	return m.Trim(ctx, user)
}
