package recommend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// mark says that a user is due.
type mark struct {
	user     string
	n        int64
	isForOwn bool // their own connections changed
}

// Sweep derives the lists of the users who are due, each that it finds once, until ctx ends.
// It returns how many it derived. Any number may run at the same time, and one
// that was killed, or comes late, does no harm: a user stays due until the list that was
// derived after the last mark is written. A user whose list cannot be derived stays due and
// does not keep others waiting; the error is one of theirs.
func (m *Model) Sweep(ctx context.Context) (derived int, err error) {
	var n atomic.Int64
	var failure atomic.Value
	group := &errgroup.Group{}
	group.SetLimit(m.cfg.Concurrency)
	for bucket := range buckets {
		err = m.eachMark(ctx, bucket, func(due mark) {
			group.Go(func() error {
				done, err := m.derive(ctx, due)
				if done {
					n.Add(1)
				}
				if err != nil {
					failure.CompareAndSwap(nil, fmt.Errorf("recommend: derive the list of %s: %w", due.user, err))
				}
				return nil
			})
		})
		if err != nil {
			break
		}
	}
	_ = group.Wait()
	if first, ok := failure.Load().(error); ok {
		err = errors.Join(err, first)
	}
	return int(n.Load()), err
}

// eachMark calls do with the marks of a bucket.
func (m *Model) eachMark(ctx context.Context, bucket int, do func(mark)) error {
	pages := dynamodb.NewQueryPaginator(m.cfg.Client, &dynamodb.QueryInput{
		TableName: &m.cfg.Table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ExpressionAttributeNames:  map[string]string{"#pk": dynamo.AttrPK},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(bucketKey(bucket))},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("recommend: read who is due: %w", err)
		}
		for _, item := range page.Items {
			n, err := dynamo.IntOf(item, attrMarks)
			own, errOwn := dynamo.IntOf(item, attrOwn)
			if err := errors.Join(err, errOwn, ctx.Err()); err != nil {
				return fmt.Errorf("recommend: read who is due: %w", err)
			}
			do(mark{dynamo.StringOf(item, dynamo.AttrSK), n, own > 0})
		}
	}
	return nil
}

// derive derives the list of a due user. It reports false where another process was faster,
// or the user was marked again meanwhile.
func (m *Model) derive(ctx context.Context, due mark) (bool, error) {
	_, rev, err := m.readList(ctx, due.user, true)
	if err != nil {
		return false, err
	}
	if due.isForOwn { // before the mark is deleted
		if err := m.markFollowers(ctx, due.user, rev); err != nil {
			return false, err
		}
	}
	list, err := suggest(ctx, m, due.user, bounds{m.cfg.Breadth, m.cfg.Depth, m.cfg.Keep, m.cfg.Concurrency})
	if err != nil {
		return false, err
	}
	_, err = m.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		m.putList(due.user, list, rev), {Delete: &types.Delete{
			TableName: &m.cfg.Table, Key: dueKey(due.user).Item(), ConditionExpression: aws.String("#n = :n"),
			ExpressionAttributeNames:  map[string]string{"#n": attrMarks},
			ExpressionAttributeValues: dynamo.Item{":n": dynamo.Int(due.n)},
		}},
	}})
	for _, reason := range dynamo.CancellationReasons(err) {
		switch aws.ToString(reason.Code) {
		case dynamo.CodeConditionFailed, "TransactionConflict":
			return false, nil
		}
	}
	return err == nil, err
}

// markFollowers makes a sample of those who are connected with the user due, another one for
// each revision of the user's list.
func (m *Model) markFollowers(ctx context.Context, user string, rev int64) error {
	from := sample(user, strconv.FormatInt(rev, 10))
	followers, _, _, err := m.neighbours(ctx, prefixIn+user, from, m.cfg.Fanout)
	if err != nil {
		return err
	}
	if n := m.cfg.Fanout - len(followers); n > 0 { // on from the beginning
		first, _, _, err := m.neighbours(ctx, prefixIn+user, "", n)
		if err != nil {
			return err
		}
		followers = append(followers, first...)
	}
	var changes []once.Change
	marked := map[string]bool{}
	for _, f := range followers {
		if !marked[f] {
			marked[f] = true
			changes = append(changes, once.Change{Adds: []once.Add{{Key: dueKey(f), Deltas: map[string]int64{attrMarks: 1, attrOwn: 0}}}})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	_, err = m.writer.Write(ctx, changes...)
	return err
}
