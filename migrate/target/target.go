package target

import (
	"cmp"
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
)

// keyText is a key attribute as text: the owner in unique tables, a map key here.
func keyText(av types.AttributeValue) string { return codec.KeyText(av) }

// DynamoDBAPI is what [Tables] needs of *dynamodb.Client.
type DynamoDBAPI interface {
	BatchExecuteStatement(context.Context, *dynamodb.BatchExecuteStatementInput, ...func(*dynamodb.Options)) (*dynamodb.BatchExecuteStatementOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	UpdateTable(context.Context, *dynamodb.UpdateTableInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTableOutput, error)
	UpdateTimeToLive(context.Context, *dynamodb.UpdateTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateTimeToLiveOutput, error)
	DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput,
		...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
	dynamo.TableAPI
}

// Tables are the entity's table and the tables of its unique constraints. They are
// safe for concurrent use.
type Tables struct {
	Plan   *plan.Plan
	Client DynamoDBAPI
	// Epoch is one of MongoDB's ownership: that of all documents that are written, and
	// 0 for the first. What is of an earlier one is replaced, of a later one never.
	Epoch int64

	ofWrites []func(*dynamodb.Options)
	learned  *flow // nil: nothing is kept
}

// Entry is one encoded document. With a nil Item it stands for the tombstone of Key.
type Entry struct {
	ID     bson.RawValue
	Key    types.AttributeValue // nil for a tombstone whose key only the lookup entry says
	Item   codec.Item
	Unique []string // value for each constraint of the plan, "" for none
	Size   int      // in bytes, by DynamoDB's measure
}

// InEpoch returns the same tables, written to in an epoch.
func (t *Tables) InEpoch(epoch int64) *Tables {
	bound := *t
	bound.Epoch = epoch
	return &bound
}

func (t *Tables) epoch() int64 { return cmp.Or(t.Epoch, stamp.FirstEpoch) }

// isOwners reports whether the owner has written an item in an epoch in which MongoDB has
// no say: a later one than these tables are written to in.
func (t *Tables) isOwners(s stamp.Stamp) bool {
	return s.Epoch > t.epoch() || s.Epoch == t.epoch() && !s.HasTime
}

// deleted is the entry of a document that was deleted.
func (t *Tables) deleted(id bson.RawValue) (Entry, error) {
	e := Entry{ID: id, Unique: make([]string, len(t.Plan.Unique))}
	var err error
	if e.Key, err = t.Plan.Codec().KeyOfID(id); err != nil {
		return e, err
	}
	if n := t.Plan.Lookup(); n >= 0 {
		e.Key = nil // its lookup entry says it
		e.Unique[n], err = t.lookupValue(id)
	}
	return e, err
}

// Encode encodes a document of the source as of at. It fails with a [*side.Misfit] about a
// [*codec.FitError] for a document that does not fit.
func (t *Tables) Encode(doc bson.Raw, at stamp.ClusterTime) (Entry, error) {
	item, unique, err := t.Plan.Fit(doc)
	if err != nil {
		return Entry{}, t.misfit(doc, err)
	}
	e := Entry{Item: item, Key: t.Plan.Codec().KeyOf(item), Unique: unique, Size: codec.Size(item)}
	// The key was encoded, so the document has it.
	e.ID = doc.Lookup(t.Plan.Codec().KeyField())
	stamp.Put(item, t.epoch(), at, false)
	return e, nil
}

func (t *Tables) misfit(doc bson.Raw, err error) error {
	fit, misfit := errors.AsType[*codec.FitError](err)
	if !misfit {
		return err
	}
	id := doc.Lookup(t.Plan.Codec().KeyField())
	fit.ID = codec.Show(id)
	return &side.Misfit{ID: id, Shown: fit.ID, Field: fit.Field, Why: fit.Reason.Error(), WayOut: fit.WayOut, Err: err}
}

// uniqueValue returns an item's value under one constraint of the plan, "" for none.
func (t *Tables) uniqueValue(constraint int, item codec.Item) (string, error) {
	return t.Plan.Unique[constraint].Value(func(name string) (bson.RawValue, error) { return t.Plan.Codec().Field(item, name) })
}

func (t *Tables) itemKey(key types.AttributeValue) codec.Item {
	return t.Plan.Codec().KeyItem(key)
}

func uniqueKey(value string) codec.Item { return codec.Item{entryValue: dynamo.String(value)} }

// Get reads items and unique entries consistently, at most 100 together.
func (t *Tables) Get(ctx context.Context, keys []types.AttributeValue, unique [][]string) (map[string]codec.Item, []map[string]codec.Item, error) {
	request := map[string]types.KeysAndAttributes{}
	add := func(table string, k codec.Item) {
		r := request[table]
		r.ConsistentRead = aws.Bool(true)
		r.Keys = append(r.Keys, k)
		request[table] = r
	}
	for _, k := range keys {
		add(t.Plan.Target.Table, t.itemKey(k))
	}
	for i, values := range unique {
		for _, v := range values {
			add(t.Plan.Unique[i].Table, uniqueKey(v))
		}
	}
	items, entries := map[string]codec.Item{}, make([]map[string]codec.Item, len(t.Plan.Unique))
	for i := range entries {
		entries[i] = map[string]codec.Item{}
	}
	err := t.batchGet(ctx, request, func(table string, item codec.Item) {
		if table == t.Plan.Target.Table {
			items[keyText(t.Plan.Codec().KeyOf(item))] = item
			return
		}
		for i, u := range t.Plan.Unique {
			if u.Table == table {
				entries[i][keyText(item[entryValue])] = item
			}
		}
	})
	return items, entries, err
}

// batchGet requests again what the server left unprocessed, until it has all.
func (t *Tables) batchGet(ctx context.Context, request map[string]types.KeysAndAttributes, each func(table string, item codec.Item)) error {
	for i := 0; len(request) > 0; i++ {
		var out *dynamodb.BatchGetItemOutput
		err := retry.Do(ctx, "read from "+t.Plan.Target.Table, func(ctx context.Context) (err error) {
			out, err = t.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: request})
			return err
		})
		if err != nil {
			return err
		}
		for table, items := range out.Responses {
			for _, item := range items {
				each(table, item)
			}
		}
		if request = out.UnprocessedKeys; len(request) > 0 {
			if err := retry.Wait(ctx, min(i, 5)); err != nil {
				return err
			}
		}
	}
	return nil
}
