package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/entity"
)

// Attributes of a unique entry.
const (
	entryValue = "value"
	entryOwner = "owner"
)

const (
	maxGet   = 100 // keys of a BatchGetItem
	attempts = 8   // of a request that was throttled in part
)

// betweenAttempts is the pause before what was throttled is sent again.
var betweenAttempts = backoff.Backoff{Min: 5 * time.Millisecond, Max: 500 * time.Millisecond}

// Backend implements entity.Backend. It is safe for concurrent use.
type Backend struct {
	client  *dynamodb.Client
	plan    *plan.Plan
	codec   *codec.Codec
	indexes []types.GlobalSecondaryIndex
	box     *outboxtable.Box // nil where the plan names no table for it
}

// New makes a backend of a plan. It sends nothing.
func New(client *dynamodb.Client, p *plan.Plan) *Backend {
	b := &Backend{client: client, plan: p, codec: p.Codec(), indexes: p.TableInputs()[0].GlobalSecondaryIndexes}
	if p.Outbox.Table != "" {
		b.box = outboxtable.NewBox(client, p.Outbox.Table)
	}
	return b
}

// Get implements entity.Backend.
func (b *Backend) Get(ctx context.Context, _ ownership.Grant, ids ...bson.RawValue) ([]bson.Raw, error) {
	lookup := b.plan.Lookup()
	var values []string
	var keys []dynamo.Item
	for _, id := range ids {
		if lookup >= 0 {
			value, err := b.plan.Unique[lookup].Value(func(string) (bson.RawValue, error) { return id, nil })
			if err != nil {
				return nil, err
			}
			values = append(values, value)
			continue
		}
		key, err := b.codec.KeyOfID(id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, b.codec.KeyItem(key))
	}
	if lookup >= 0 {
		return b.find(ctx, lookup, values)
	}
	_, docs, err := b.documents(ctx, keys)
	return slices.DeleteFunc(docs, func(doc bson.Raw) bool { return doc == nil }), err
}

// ByUnique implements entity.Backend.
func (b *Backend) ByUnique(ctx context.Context, _ ownership.Grant, constraint int, doc bson.Raw) (bson.Raw, error) {
	u := b.plan.Unique[constraint]
	u.Where = nil // doc has not those fields
	value, err := u.Value(func(name string) (bson.RawValue, error) { return doc.Lookup(name), nil })
	if err != nil {
		return nil, fmt.Errorf("%w: %w", entity.ErrInvalid, err)
	}
	if value == "" {
		return nil, nil
	}
	docs, err := b.find(ctx, constraint, []string{value})
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return docs[0], nil
}

// find returns the documents that have values under a constraint, as their entries say. An
// entry and its item are not read at one moment: where they disagree both are read again, until
// the entry has said the same twice.
func (b *Backend) find(ctx context.Context, constraint int, values []string) ([]bson.Raw, error) {
	var docs []bson.Raw
	named := map[string]string{} // owners by value
	for len(values) > 0 {
		entries, err := b.entries(ctx, constraint, values...)
		if err != nil {
			return nil, err
		}
		wanted := map[string]string{} // values by owner
		var keys []dynamo.Item
		for value, entry := range entries {
			if owner := ownerOf(entry); owner != "" && wanted[owner] == "" {
				wanted[owner] = value
				keys = append(keys, b.codec.KeyItem(b.codec.KeyOfText(owner)))
			}
		}
		items, found, err := b.documents(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i, item := range items {
			owner := codec.KeyText(b.codec.KeyOf(item))
			if found[i] != nil && b.valueOf(constraint, found[i]) == wanted[owner] {
				docs = append(docs, found[i])
				delete(wanted, owner)
			}
		}
		values = nil
		for owner, value := range wanted {
			if named[value] != owner {
				named[value], values = owner, append(values, value)
			}
		}
	}
	return docs, nil
}

// ownerOf is the key of the item that an entry names, as text, "" for none.
func ownerOf(entry dynamo.Item) string {
	if stamp.Of(entry).Tombstone {
		return ""
	}
	return dynamo.StringOf(entry, entryOwner)
}

// valueOf is a document's value under a constraint, "" for none.
func (b *Backend) valueOf(constraint int, doc bson.Raw) string {
	// What cannot be a unique value has no entry.
	value, _ := b.plan.Unique[constraint].Value(func(name string) (bson.RawValue, error) { return doc.Lookup(name), nil })
	return value
}

// documents reads items, and returns those that exist, and their documents.
func (b *Backend) documents(ctx context.Context, keys []dynamo.Item) ([]dynamo.Item, []bson.Raw, error) {
	items, err := b.items(ctx, b.plan.Target.Table, keys)
	if err != nil {
		return nil, nil, err
	}
	docs, err := b.read(items)
	return items, docs, err
}

// read is the documents of items; nil for a tombstone, a barrier, and what has expired.
func (b *Backend) read(items []dynamo.Item) ([]bson.Raw, error) {
	docs := make([]bson.Raw, len(items))
	for i, item := range items {
		if len(item) == 0 || stamp.Of(item).Tombstone || b.expired(item) {
			continue
		}
		var err error
		if docs[i], err = b.codec.Read(item); err != nil {
			return nil, fmt.Errorf("read the item %q of %s: %w", codec.KeyText(b.codec.KeyOf(item)), b.plan.Target.Table, err)
		}
	}
	return docs, nil
}

// expired reports whether DynamoDB may delete an item by now. It does so days later.
func (b *Backend) expired(item dynamo.Item) bool {
	if b.plan.TTL == nil || item == nil {
		return false
	}
	at, err := strconv.ParseInt(codec.KeyText(item[b.plan.TTL.Attribute]), 10, 64)
	return err == nil && at <= time.Now().Unix()
}

// entries reads those of the entries of a constraint that exist, by value.
func (b *Backend) entries(ctx context.Context, constraint int, values ...string) (map[string]dynamo.Item, error) {
	var keys []dynamo.Item
	for _, value := range values {
		keys = append(keys, dynamo.Item{entryValue: dynamo.String(value)})
	}
	items, err := b.items(ctx, b.plan.Unique[constraint].Table, keys)
	found := map[string]dynamo.Item{}
	for _, item := range items {
		found[dynamo.StringOf(item, entryValue)] = item
	}
	return found, err
}

// items reads those of the items of a table that exist, each consistently.
func (b *Backend) items(ctx context.Context, table string, keys []dynamo.Item) ([]dynamo.Item, error) {
	if len(keys) == 1 {
		out, err := b.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: keys[0], ConsistentRead: aws.Bool(true)})
		if err != nil || len(out.Item) == 0 {
			return nil, b.told(err, "read "+table)
		}
		return []dynamo.Item{out.Item}, nil
	}
	var all []dynamo.Item
	for chunk := range slices.Chunk(keys, maxGet) {
		left := map[string]types.KeysAndAttributes{table: {Keys: chunk, ConsistentRead: aws.Bool(true)}}
		for attempt := 0; len(left) > 0; attempt++ {
			if attempt > 0 {
				if err := betweenAttempts.Wait(ctx, attempt-1); err != nil {
					return nil, fmt.Errorf("read %d items of %s that were left unprocessed: %w", len(left[table].Keys), table, err)
				}
			}
			out, err := b.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left})
			if err != nil {
				return nil, b.told(err, "read "+table)
			}
			all, left = append(all, out.Responses[table]...), out.UnprocessedKeys
		}
	}
	return all, nil
}

// told says what failed, and where a table is missing who makes it.
func (b *Backend) told(err error, what string) error {
	if err == nil {
		return nil
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("%s: a table of %s is missing, which the migration makes, or the outbox %q, which the service makes when it starts: %w",
			what, b.plan.Entity, b.plan.Outbox.Table, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
