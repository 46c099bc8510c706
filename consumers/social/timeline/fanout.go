package timeline

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// progress is how far the fan-out of a post got.
type progress struct {
	follower string // whose page ended there
	count    int64  // of followers so far
}

// task is the body of a message on the queue. It names what is to be carried on; how far
// it got is in the table.
type task struct {
	Author string `json:"author"`
	Post   string `json:"post,omitempty"` // "": the marks of the author's followers
}

// Continue carries on what Config.Enqueue was given: one page of followers, after which it
// enqueues what is left. The message may come any number of times and at any later time.
// The error is classified like that of a handler; the message must come again unless it
// is nil or [consumers.Permanent].
func (m *Model) Continue(ctx context.Context, body []byte) error {
	var t task
	if err := json.Unmarshal(body, &t); err != nil {
		return consumers.Permanent(fmt.Errorf("timeline: the message is no continuation of a fan-out: %w", err))
	}
	if t.Author == "" {
		return consumers.Permanent(fmt.Errorf("timeline: the message is no continuation of a fan-out: it names no author"))
	}
	if err := m.carryOn(ctx, t); err != nil {
		return once.Classify(fmt.Errorf("timeline: continue the fan-out of %q by %q: %w", t.Post, t.Author, err))
	}
	return nil
}

func (m *Model) carryOn(ctx context.Context, t task) error {
	if t.Post == "" {
		c, err := m.readCelebrity(ctx, t.Author)
		if err != nil || !c.exists {
			return err
		}
		return m.mark(ctx, t.Author, c)
	}
	var done progress
	e, ok, err := m.readPost(ctx, t.Author, t.Post, &done)
	if err != nil || !ok {
		return err
	}
	return m.fanOut(ctx, e, done)
}

// fanOut writes the entry for every follower after those that are done, a page at a time.
// For users who follow after their page was read, the follow copies the post. If there are
// too many it makes the author a celebrity instead.
func (m *Model) fanOut(ctx context.Context, e Entry, done progress) error {
	for {
		followers, next, err := m.followers(ctx, e.AuthorID, done.follower)
		if err != nil {
			return err
		}
		done.count += int64(len(followers))
		tooMany := done.count > int64(m.cfg.Threshold)
		if next != "" || tooMany {
			c, err := m.celebrity(ctx, e.AuthorID, tooMany)
			if err != nil {
				return err
			}
			if c.exists {
				return m.mark(ctx, e.AuthorID, c)
			}
		}
		if err := m.deliver(ctx, e, followers); err != nil {
			return err
		}
		if done.follower = next; next == "" {
			return nil
		}
		if err := m.storeProgress(ctx, e, done); err != nil {
			return err
		}
		if m.cfg.Enqueue != nil {
			return m.enqueue(ctx, task{Author: e.AuthorID, Post: e.PostID})
		}
	}
}

func (m *Model) enqueue(ctx context.Context, t task) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := m.cfg.Enqueue(ctx, body); err != nil {
		return consumers.Unavailable(fmt.Errorf("enqueue the rest of the fan-out: %w", err))
	}
	return nil
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
	err := m.writeToFollowers(ctx, e.AuthorID, followers, func(follower string) once.Op { return putEntry(follower, e) })
	if err != nil {
		return err
	}
	for _, follower := range followers {
		if err := m.trimSometimes(ctx, follower, e.PostID); err != nil {
			return err
		}
	}
	return nil
}

// writeToFollowers carries out an op for each follower who still follows then.
func (m *Model) writeToFollowers(ctx context.Context, author string, followers []string, op func(follower string) once.Op) error {
	changes := make([]once.Change, len(followers))
	for i, follower := range followers {
		changes[i] = once.Change{Ops: []once.Op{once.Check(edgeKey(follower, author), stillFollows()), op(follower)}}
	}
	_, err := m.writer.Write(ctx, changes...)
	return err
}

func stillFollows() once.Condition {
	return once.Condition{
		Text:   "#following = :true",
		Names:  map[string]string{"#following": attrFollowing},
		Values: dynamo.Item{":true": dynamo.Bool(true)},
	}
}

// storeProgress keeps the greatest, and none for a post that is not there any more.
func (m *Model) storeProgress(ctx context.Context, e Entry, done progress) error {
	_, err := m.writer.Write(ctx, once.Change{Ops: []once.Op{
		once.Update(postKey(e.AuthorID, e.PostID), "SET #fanned = :follower, #count = :count", once.Condition{
			Text:   "attribute_exists(#pk) AND (attribute_not_exists(#fanned) OR #fanned < :follower)",
			Names:  map[string]string{"#pk": dynamo.AttrPK, "#fanned": attrFanned, "#count": attrCount},
			Values: dynamo.Item{":follower": dynamo.String(done.follower), ":count": dynamo.Int(done.count)},
		}),
	}})
	return err
}
