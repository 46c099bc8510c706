package timeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
)

// chunk is how many entries go with one check of the edge into a transaction of
// 100 items.
const chunk = 99

// follow writes the edge, then copies the author's posts, newest first.
func (m *Model) follow(ctx context.Context, pos events.Position, follower, author string) error {
	if follower == author {
		return m.raise(ctx, follower, pos)
	}
	if err := m.mark(ctx, pos, follower, author, true); err != nil {
		return err
	}
	posts, err := m.posts(ctx, author, m.cfg.Cap)
	if err != nil {
		return err
	}
	items := make([]once.Item, len(posts))
	for i, e := range posts {
		items[i] = entryItem(follower, e)
	}
	if err := m.underEdge(ctx, pos, follower, author, items); err != nil {
		return fmt.Errorf("copy the posts: %w", err)
	}
	if len(posts) > 0 {
		if err := m.trimSometimes(ctx, follower, posts[0].PostID); err != nil {
			return err
		}
	}
	return m.settle(ctx, follower, pos)
}

// unfollow marks the edge, then removes the author's entries.
func (m *Model) unfollow(ctx context.Context, pos events.Position, follower, author string) error {
	if follower == author {
		return m.raise(ctx, follower, pos)
	}
	if err := m.mark(ctx, pos, follower, author, false); err != nil {
		return err
	}
	ids, err := m.entriesOf(ctx, follower, author)
	if err != nil {
		return err
	}
	items := make([]once.Item, len(ids))
	for i, id := range ids {
		items[i] = once.Delete(entryKey(follower, id))
	}
	if err := m.underEdge(ctx, pos, follower, author, items); err != nil {
		return fmt.Errorf("remove the posts: %w", err)
	}
	return m.settle(ctx, follower, pos)
}

// mark writes the edge, unless a later event did. An edge that this very event
// wrote passes: its work may have been cut short.
func (m *Model) mark(ctx context.Context, pos events.Position, follower, author string, following bool) error {
	edge := once.Put(edgeKey(follower, author), once.Attributes{
		attrFollowing: once.B(following), once.AttrPosition: once.S(pos.String()),
	}, once.NotOlder(pos))
	applied, err := m.group.Do(ctx, once.Step{Items: []once.Item{edge}})
	if err != nil {
		return fmt.Errorf("write the edge: %w", err)
	}
	if !applied[0] {
		return consumers.ErrStale
	}
	return nil
}

// underEdge carries out items as long as the edge is the one of this event.
func (m *Model) underEdge(ctx context.Context, pos events.Position, follower, author string, items []once.Item) error {
	var steps []once.Step
	for len(items) > 0 {
		n := min(chunk, len(items))
		check := once.Check(edgeKey(follower, author), once.Exactly(pos))
		steps = append(steps, once.Step{Items: append([]once.Item{check}, items[:n]...)})
		items = items[n:]
	}
	if len(steps) == 0 {
		return nil
	}
	applied, err := m.group.Do(ctx, steps...)
	if err != nil {
		return err
	}
	for _, ok := range applied {
		if !ok {
			return consumers.ErrStale // overtaken by a later event of the same key
		}
	}
	return nil
}

// settle raises the watermark after everything else. That it was there already
// is no news: the event did have work to do.
func (m *Model) settle(ctx context.Context, user string, pos events.Position) error {
	if err := m.raise(ctx, user, pos); err != nil && !errors.Is(err, consumers.ErrStale) {
		return fmt.Errorf("raise the watermark: %w", err)
	}
	return nil
}

// posts reads the author's newest posts, at most limit.
func (m *Model) posts(ctx context.Context, author string, limit int) ([]Entry, error) {
	var posts []Entry
	in := m.newest(prefixPosts+author, limit)
	for {
		out, err := m.cfg.Client.Query(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("read the posts of %s: %w", author, err)
		}
		for _, item := range out.Items {
			e, err := decodeEntry(item)
			if err != nil {
				return nil, err
			}
			e.AuthorID = author
			posts = append(posts, e)
		}
		if len(posts) >= limit || len(out.LastEvaluatedKey) == 0 {
			return posts[:min(limit, len(posts))], nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// entriesOf lists the posts of author to be removed from a user's timeline: the
// entries there are, and the author's latest posts.
func (m *Model) entriesOf(ctx context.Context, user, author string) ([]string, error) {
	in := m.newest(prefixTimeline+user, 0)
	in.FilterExpression = aws.String("#author = :author")
	in.ProjectionExpression = aws.String("#sk")
	in.ExpressionAttributeNames["#author"], in.ExpressionAttributeNames["#sk"] = attrAuthor, "sk"
	in.ExpressionAttributeValues[":author"] = once.S(author)
	ids, err := m.sortKeys(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read the timeline of %s: %w", user, err)
	}
	in = m.newest(prefixPosts+author, latest)
	in.ProjectionExpression = aws.String("#sk")
	in.ExpressionAttributeNames["#sk"] = "sk"
	out, err := m.cfg.Client.Query(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read the posts of %s: %w", author, err)
	}
	return union(ids, out.Items), nil
}

func union(ids []string, items []once.Attributes) []string {
	seen := make(map[string]bool, len(ids))
	for _, id := range ids {
		seen[id] = true
	}
	for _, item := range items {
		if id := once.Text(item, "sk"); !seen[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// sortKeys runs a query to its end.
func (m *Model) sortKeys(ctx context.Context, in *dynamodb.QueryInput) ([]string, error) {
	var keys []string
	for {
		out, err := m.cfg.Client.Query(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, item := range out.Items {
			keys = append(keys, once.Text(item, "sk"))
		}
		if len(out.LastEvaluatedKey) == 0 {
			return keys, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// newest queries a partition from its end, strongly consistent.
func (m *Model) newest(pk string, limit int) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName:                 &m.cfg.Table,
		ConsistentRead:            aws.Bool(true),
		ScanIndexForward:          aws.Bool(false),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": "pk"},
		ExpressionAttributeValues: once.Attributes{":pk": once.S(pk)},
	}
	if limit > 0 {
		in.Limit = aws.Int32(int32(limit))
	}
	return in
}
