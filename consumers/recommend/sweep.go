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
	user string
	n    int64 // how often
	own  int64 // how often for a change of their own connections
	told int64 // of these, how many the followers know of
}

// Sweep derives the lists of the users who are due, each that it finds once, until ctx ends.
// It returns how many it derived, and how many are due still since they were marked again
// meanwhile, or failed. Any number may run at the same time, and one
// that was killed, or comes late, does no harm: a user stays due until the list that was
// derived after the last mark is written. A user whose list cannot be derived stays due and
// does not keep others waiting; the error is one of theirs.
func (m *Model) Sweep(ctx context.Context) (derived, left int, err error) {
	var n, found atomic.Int64
	var failure atomic.Value
	group := &errgroup.Group{}
	group.SetLimit(m.cfg.Concurrency)
	for bucket := range buckets {
		err = m.eachMark(ctx, bucket, func(due mark) {
			found.Add(1)
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
	return int(n.Load()), int(found.Load() - n.Load()), err
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
			due := mark{user: dynamo.StringOf(item, dynamo.AttrSK)}
			var errs [3]error
			due.n, errs[0] = dynamo.IntOf(item, attrMarks)
			due.own, errs[1] = dynamo.IntOf(item, attrOwn)
			if _, ok := item[attrTold]; ok {
				due.told, errs[2] = dynamo.IntOf(item, attrTold)
			}
			if err := errors.Join(append(errs[:], ctx.Err())...); err != nil {
				return fmt.Errorf("recommend: read who is due: %w", err)
			}
			do(due)
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
	if due.own > due.told { // before the mark is deleted
		if done, err := m.tellFollowers(ctx, due, rev); !done || err != nil {
			return false, err
		}
	}
	list, err := suggest(ctx, m, due.user, bounds{m.cfg.Breadth, m.cfg.Depth, m.cfg.Keep, m.cfg.Concurrency})
	if err != nil {
		return false, err
	}
	return m.transact(ctx, m.putList(due.user, list, rev), types.TransactWriteItem{Delete: &types.Delete{
		TableName: &m.cfg.Table, Key: dueKey(due.user).Item(), ConditionExpression: aws.String("#n = :n"),
		ExpressionAttributeNames:  map[string]string{"#n": attrMarks},
		ExpressionAttributeValues: dynamo.Item{":n": dynamo.Int(due.n)},
	}})
}

// transact reports false where a condition did not hold, or another transaction was faster.
func (m *Model) transact(ctx context.Context, items ...types.TransactWriteItem) (bool, error) {
	_, err := m.cfg.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	for _, reason := range dynamo.CancellationReasons(err) {
		switch aws.ToString(reason.Code) {
		case dynamo.CodeConditionFailed, "TransactionConflict":
			return false, nil
		}
	}
	return err == nil, err
}

// tellFollowers makes followers due, and notes that in the mark: two users who follow each
// other and are due at the same time would otherwise mark each other for ever. The revision
// tells this mark from one that was made after it was deleted.
func (m *Model) tellFollowers(ctx context.Context, due mark, rev int64) (bool, error) {
	if err := m.markFollowers(ctx, due.user, rev); err != nil {
		return false, err
	}
	return m.transact(ctx,
		types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: &m.cfg.Table, Key: listKey(due.user).Item(),
			ConditionExpression:       aws.String("attribute_not_exists(#rev) OR #rev = :rev"),
			ExpressionAttributeNames:  map[string]string{"#rev": attrRev},
			ExpressionAttributeValues: dynamo.Item{":rev": dynamo.Int(rev)},
		}},
		types.TransactWriteItem{Update: &types.Update{
			TableName: &m.cfg.Table, Key: dueKey(due.user).Item(), UpdateExpression: aws.String("SET #told = :own"),
			ConditionExpression:       aws.String("#own = :own"),
			ExpressionAttributeNames:  map[string]string{"#own": attrOwn, "#told": attrTold},
			ExpressionAttributeValues: dynamo.Item{":own": dynamo.Int(due.own)},
		}})
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
