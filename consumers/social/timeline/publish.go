package timeline

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// publish writes the post, which is there for whoever follows from now on, then
// an entry for whoever follows already.
func (m *Model) publish(ctx context.Context, pos events.Position, p social.PostPublished) error {
	e := Entry{PostID: p.PostID, AuthorID: p.AuthorID, Text: p.Text, PublishedAt: p.PublishedAt}
	applied, err := m.group.Do(ctx, postStep(e, pos), once.Watermark(p.AuthorID, pos))
	if err != nil {
		return fmt.Errorf("write the post: %w", err)
	}
	start := ""
	if !applied[0] {
		if start, err = m.fanned(ctx, e); err != nil {
			return fmt.Errorf("read how far the fan-out got: %w", err)
		}
	}
	if err := m.fanOut(ctx, e, start); err != nil {
		return fmt.Errorf("fan out: %w", err)
	}
	if !applied[0] {
		return consumers.ErrStale
	}
	return nil
}

func postStep(e Entry, pos events.Position) once.Step {
	post := once.Attributes{
		attrText: once.S(e.Text), attrAt: once.S(formatTime(e.PublishedAt)), once.AttrPosition: once.S(pos.String()),
	}
	return once.Step{Items: []once.Item{
		once.Put(postKey(e.AuthorID, e.PostID), post, once.Absent()),
		entryItem(e.AuthorID, e),
	}}
}

func entryItem(user string, e Entry) once.Item {
	return once.Put(entryKey(user, e.PostID), once.Attributes{
		attrAuthor: once.S(e.AuthorID), attrText: once.S(e.Text), attrAt: once.S(formatTime(e.PublishedAt)),
	}, once.Expression{})
}

// fanned is the last follower that an earlier delivery of the post got to.
func (m *Model) fanned(ctx context.Context, e Entry) (string, error) {
	out, err := m.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &m.cfg.Table, Key: postKey(e.AuthorID, e.PostID).Attributes(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return "", err
	}
	return once.Text(out.Item, attrFanned), nil
}

// fanOut writes the entry for every follower after start, a page at a time. Who
// follows behind the page that is read copies the post themselves.
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
		if err := m.keepProgress(ctx, e, next); err != nil {
			return err
		}
		start = next
	}
}

// followers reads a page of who follows the author; next is where it ended, ""
// at the end of all.
func (m *Model) followers(ctx context.Context, author, after string) (followers []string, next string, err error) {
	in := &dynamodb.QueryInput{
		TableName:                 &m.cfg.Table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ProjectionExpression:      aws.String("#sk, #following"),
		ExpressionAttributeNames:  map[string]string{"#pk": "pk", "#sk": "sk", "#following": attrFollowing},
		ExpressionAttributeValues: once.Attributes{":pk": once.S(prefixFollowers + author)},
		Limit:                     aws.Int32(int32(m.cfg.Page)),
	}
	if after != "" {
		in.ExclusiveStartKey = edgeKey(after, author).Attributes()
	}
	out, err := m.cfg.Client.Query(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("read the followers of %s: %w", author, err)
	}
	for _, item := range out.Items {
		if once.Bool(item, attrFollowing) {
			followers = append(followers, once.Text(item, "sk"))
		}
	}
	return followers, once.Text(out.LastEvaluatedKey, "sk"), nil
}

// deliver writes the entry for those who still follow when it is written.
func (m *Model) deliver(ctx context.Context, e Entry, followers []string) error {
	if len(followers) == 0 {
		return nil
	}
	steps := make([]once.Step, len(followers))
	for i, follower := range followers {
		steps[i] = once.Step{Items: []once.Item{
			once.Check(edgeKey(follower, e.AuthorID), stillFollows()),
			entryItem(follower, e),
		}}
	}
	if _, err := m.group.Do(ctx, steps...); err != nil {
		return err
	}
	for _, follower := range followers {
		if err := m.trimSometimes(ctx, follower, e.PostID); err != nil {
			return err
		}
	}
	return nil
}

func stillFollows() once.Expression {
	return once.Expression{
		Text:   "#following = :true",
		Names:  map[string]string{"#following": attrFollowing},
		Values: once.Attributes{":true": once.B(true)},
	}
}

func (m *Model) keepProgress(ctx context.Context, e Entry, follower string) error {
	_, err := m.group.Do(ctx, once.Step{Items: []once.Item{
		once.Update(postKey(e.AuthorID, e.PostID), "SET #fanned = :follower", once.Expression{
			Text:   "attribute_exists(#pk) AND (attribute_not_exists(#fanned) OR #fanned < :follower)",
			Names:  map[string]string{"#pk": "pk", "#fanned": attrFanned},
			Values: once.Attributes{":follower": once.S(follower)},
		}),
	}})
	return err
}

// trimEvery is how many entries a timeline gets, on average, between two looks
// at its length.
const trimEvery = 64

// trimSometimes cuts the timeline to its cap at about every 64th entry, chosen
// by the ids, so that what happens is the same each time.
func (m *Model) trimSometimes(ctx context.Context, user, post string) error {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user + "/" + post))
	if h.Sum32()%trimEvery != 0 {
		return nil
	}
	return m.Trim(ctx, user)
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
