package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Shards is over how many partitions what is due is spread: a partition takes 1,000
// writes a second.
const Shards = 16

const attrSent = "sent" // the sort key of the notification

// dueKey is the key of the pointer to a notification that is due at a time.
func dueKey(r Record, at time.Time) dynamo.Item {
	sum := sha256.Sum256([]byte(r.User + "\x00" + r.sortKey()))
	return dynamo.Key(shardKey(int(sum[0])%Shards), instant(at)+"#"+base64.RawURLEncoding.EncodeToString(sum[:15]))
}

func shardKey(shard int) string { return fmt.Sprintf("due#%02d", shard) }

func pointerTo(r Record) dynamo.Item {
	item := dueKey(r, r.Due)
	item[attrUser], item[attrSent] = dynamo.String(r.User), dynamo.String(r.sortKey())
	return item
}

// Pointer says that a notification was to be sent at a time.
type Pointer struct {
	item dynamo.Item
}

// sortKey is that of the pointer: the cursor of [Store.Due].
func (p Pointer) sortKey() string { return dynamo.StringOf(p.item, dynamo.AttrSK) }

// Due reads up to n pointers of a shard (0 to Shards-1) that are due at now, the oldest
// first, after another one; the zero Pointer for the first.
func (s *Store) Due(ctx context.Context, shard int, after Pointer, n int, now time.Time) ([]Pointer, error) {
	in := &dynamodb.QueryInput{
		TableName: &s.table, Limit: aws.Int32(int32(n)), ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :pk AND sk < :now"),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(shardKey(shard)), ":now": dynamo.String(instant(now) + "~")},
	}
	if after.item != nil {
		in.ExclusiveStartKey = dynamo.Key(shardKey(shard), after.sortKey())
	}
	out, err := s.client.Query(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("read what is due: %w", err)
	}
	pointers := make([]Pointer, len(out.Items))
	for i, item := range out.Items {
		pointers[i] = Pointer{item}
	}
	return pointers, nil
}

// Follow reads the notification that a pointer points to. false: there is nothing to do,
// and the pointer is removed.
func (s *Store) Follow(ctx context.Context, p Pointer) (Record, bool, error) {
	key := dynamo.Key(userKey(dynamo.StringOf(p.item, attrUser)), dynamo.StringOf(p.item, attrSent))
	r, found, err := s.get(ctx, key)
	if err != nil {
		return r, false, err
	}
	if found && !r.Final() && dynamo.StringOf(dueKey(r, r.Due), dynamo.AttrSK) == p.sortKey() {
		return r, true, nil
	}
	_, err = s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &s.table, Key: dynamo.Key(dynamo.StringOf(p.item, dynamo.AttrPK), p.sortKey())})
	if err != nil {
		return r, false, fmt.Errorf("remove a pointer to what is no longer due: %w", err)
	}
	return r, false, nil
}
