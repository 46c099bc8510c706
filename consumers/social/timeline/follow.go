package timeline

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// chunk is how many entries go with one check of the edge into a transaction of 100
// items.
const chunk = 99

// follow writes the edge, then copies the author's posts, newest first, or marks that a
// celebrity is followed.
func (m *Model) follow(ctx context.Context, pos events.Position, follower, author string) error {
	if follower == author {
		return m.writer.Apply(ctx, readmodel.Watermark(follower, pos))
	}
	if err := m.writeEdge(ctx, pos, follower, author, true); err != nil {
		return err
	}
	c, err := m.readCelebrity(ctx, author)
	if err != nil {
		return err
	}
	if c.exists {
		err = m.writeUnderEdge(ctx, pos, follower, author, []once.Op{putMark(follower, author)})
	} else {
		err = m.copyPosts(ctx, pos, follower, author)
	}
	if err != nil {
		return err
	}
	return m.raiseWatermark(ctx, follower, pos)
}

func (m *Model) copyPosts(ctx context.Context, pos events.Position, follower, author string) error {
	posts, err := m.posts(ctx, author)
	if err != nil || len(posts) == 0 {
		return err
	}
	ops := make([]once.Op, len(posts))
	for i, e := range posts {
		ops[i] = putEntry(follower, e)
	}
	if err := m.writeUnderEdge(ctx, pos, follower, author, ops); err != nil {
		return fmt.Errorf("copy the posts: %w", err)
	}
	return m.trimSometimes(ctx, follower, posts[0].PostID)
}

// unfollow writes the edge, then removes the author's entries, and the mark if the author
// is a celebrity or about to become one.
func (m *Model) unfollow(ctx context.Context, pos events.Position, follower, author string) error {
	if follower == author {
		return m.writer.Apply(ctx, readmodel.Watermark(follower, pos))
	}
	if err := m.writeEdge(ctx, pos, follower, author, false); err != nil {
		return err
	}
	ids, err := m.entriesOf(ctx, follower, author)
	if err != nil {
		return err
	}
	ops := []once.Op{once.Delete(markKey(follower, author))}
	for _, id := range ids {
		ops = append(ops, once.Delete(entryKey(follower, id)))
	}
	if err := m.writeUnderEdge(ctx, pos, follower, author, ops); err != nil {
		return fmt.Errorf("remove the posts: %w", err)
	}
	return m.raiseWatermark(ctx, follower, pos)
}

// writeEdge writes the edge, unless a later event did. It writes again where this very
// event did, since its handling may have been interrupted.
func (m *Model) writeEdge(ctx context.Context, pos events.Position, follower, author string, following bool) error {
	edge := once.Put(edgeKey(follower, author), once.At(pos, dynamo.Item{attrFollowing: dynamo.Bool(following)}), once.NotOlder(pos))
	if err := m.writer.Apply(ctx, once.Change{Ops: []once.Op{edge}}); err != nil {
		return fmt.Errorf("write the edge: %w", err)
	}
	return nil
}

// writeUnderEdge carries out ops as long as the edge is that of this event. It is stale
// when a later event of the same key came first.
func (m *Model) writeUnderEdge(ctx context.Context, pos events.Position, follower, author string, ops []once.Op) error {
	var changes []once.Change
	for part := range slices.Chunk(ops, chunk) {
		check := once.Check(edgeKey(follower, author), once.Exactly(pos))
		changes = append(changes, once.Change{Ops: append([]once.Op{check}, part...)})
	}
	applied, err := m.writer.Write(ctx, changes...)
	if err == nil && slices.Contains(applied, false) {
		return consumers.ErrStale
	}
	return err
}

// raiseWatermark is the last step. If the watermark is there already, the event is
// not stale: it had other effects.
func (m *Model) raiseWatermark(ctx context.Context, user string, pos events.Position) error {
	if err := m.writer.Apply(ctx, readmodel.Watermark(user, pos)); err != nil && !errors.Is(err, consumers.ErrStale) {
		return fmt.Errorf("raise the watermark: %w", err)
	}
	return nil
}

// posts reads the author's newest posts that are not deleted, as many as a timeline keeps.
func (m *Model) posts(ctx context.Context, author string) (posts []Entry, err error) {
	in := m.newestFirst(prefixPosts+author, m.cfg.Cap)
	in.FilterExpression = aws.String("attribute_not_exists(#deleted)")
	in.ExpressionAttributeNames["#deleted"] = attrDeleted
	err = m.queryAll(ctx, in, func(item dynamo.Item) error {
		e, _, err := DecodePost(item)
		posts = append(posts, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the posts of %s: %w", author, err)
	}
	return posts[:min(len(posts), m.cfg.Cap)], nil
}

// entriesOf lists the posts of author to be removed from a user's timeline: the entries
// there are, and the author's latest posts.
func (m *Model) entriesOf(ctx context.Context, user, author string) ([]string, error) {
	in := m.newestFirst(prefixTimeline+user, 0)
	in.FilterExpression = aws.String("#author = :author")
	in.ExpressionAttributeNames["#author"] = attrAuthor
	in.ExpressionAttributeValues[":author"] = dynamo.String(author)
	ids, err := m.sortKeys(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read the timeline of %s: %w", user, err)
	}
	newest, err := m.sortKeys(ctx, m.newestFirst(prefixPosts+author, latest))
	if err != nil {
		return nil, fmt.Errorf("read the posts of %s: %w", author, err)
	}
	ids = append(ids, newest...)
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// sortKeys runs a query for the sort keys of what it finds.
func (m *Model) sortKeys(ctx context.Context, in *dynamodb.QueryInput) (keys []string, err error) {
	in.ProjectionExpression = aws.String("#sk")
	in.ExpressionAttributeNames["#sk"] = dynamo.AttrSK
	err = m.queryAll(ctx, in, func(item dynamo.Item) error {
		keys = append(keys, dynamo.StringOf(item, dynamo.AttrSK))
		return nil
	})
	return keys, err
}

// queryAll runs a query to its end, or until it has found as many as its limit.
func (m *Model) queryAll(ctx context.Context, in *dynamodb.QueryInput, do func(dynamo.Item) error) error {
	for found := 0; ; {
		out, err := m.cfg.Client.Query(ctx, in)
		if err != nil {
			return err
		}
		for _, item := range out.Items {
			if err := do(item); err != nil {
				return err
			}
		}
		found += len(out.Items)
		if in.Limit != nil && found >= int(*in.Limit) || len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// newestFirst queries a partition from its end, strongly consistent; limit 0 is all.
func (m *Model) newestFirst(pk string, limit int) *dynamodb.QueryInput {
	in := partitionQuery(m.cfg.Table, pk)
	in.ScanIndexForward = aws.Bool(false)
	if limit > 0 {
		in.Limit = aws.Int32(int32(limit))
	}
	return in
}

// partitionQuery queries a partition, strongly consistent.
func partitionQuery(table, pk string) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName:                 &table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(pk)},
	}
}
