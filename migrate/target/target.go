package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
)

var (
	// ErrServiceOwned: the service has written the item in DynamoDB; a migration
	// never overwrites that.
	ErrServiceOwned error = retry.Permanent("the item was written by the owning service in DynamoDB")
	// ErrOutOfBand: the target holds an item that neither the migration nor the
	// service wrote.
	ErrOutOfBand error = retry.Permanent("the target holds an item that neither the migration nor the service wrote")
)

// keyText is a key attribute as text: the owner in unique tables, a map key here.
func keyText(av types.AttributeValue) string {
	switch v := av.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

// DynamoDBAPI is what [Tables] needs of *dynamodb.Client.
type DynamoDBAPI interface {
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	dynamo.TableAPI
}

// Tables are the entity's table and the tables of its unique constraints. They are
// safe for concurrent use.
type Tables struct {
	Plan   *plan.Plan
	Client DynamoDBAPI
}

// Entry is one encoded document. With a nil Item it stands for the tombstone of Key.
type Entry struct {
	ID     bson.RawValue
	Key    types.AttributeValue
	Item   codec.Item
	Unique []string // value for each constraint of the plan, "" for none
	Size   int      // in bytes, by DynamoDB's measure
}

// Encode encodes a document of the source as of at. It fails with a [*codec.FitError]
// for a document that does not fit.
// Encode encodes a document of the source as of at. It fails with a [*codec.FitError]
// for a document that does not fit.
func (t *Tables) Encode(doc bson.Raw, at stamp.ClusterTime) (Entry, error) {
	item, err := t.Plan.Codec().Encode(doc)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Item: item, Key: item[t.Plan.Codec().KeyAttribute()], Size: codec.Size(item)}
	// The key was encoded, so the document has it.
	e.ID = doc.Lookup(t.Plan.Codec().KeyField())
	if e.Unique, err = t.uniqueOf(item); err != nil {
		var fit *codec.FitError
		if errors.As(err, &fit) {
			fit.ID = codec.Show(e.ID)
		}
		return Entry{}, err
	}
	stamp.Put(item, at, false)
	return e, nil
}

// uniqueOf returns an item's values under the plan's constraints. Absent and
// null values are unconstrained.
func (t *Tables) uniqueOf(item codec.Item) ([]string, error) {
	values := make([]string, len(t.Plan.Unique))
	for i, u := range t.Plan.Unique {
		switch v := item[t.Plan.Codec().Attribute(u.Field)].(type) {
		case nil, *types.AttributeValueMemberNULL:
			continue
		case *types.AttributeValueMemberS:
			values[i] = u.Field + "#" + v.Value
		case *types.AttributeValueMemberN:
			values[i] = u.Field + "#" + v.Value
		default:
			return nil, &codec.FitError{Field: u.Field, Reason: fmt.Errorf("%w: a unique value must be a string or a number", codec.ErrKeyType),
				WayOut: "repair the field in MongoDB, or take the constraint out of the plan"}
		}
		if len(values[i]) > codec.MaxKeySize {
			return nil, &codec.FitError{Field: u.Field, Reason: fmt.Errorf("%w: %d bytes, allowed are %d", codec.ErrKeySize, len(values[i]), codec.MaxKeySize),
				WayOut: "shorten the value in MongoDB, or take the constraint out of the plan"}
		}
	}
	return values, nil
}

func (t *Tables) itemKey(key types.AttributeValue) codec.Item {
	return codec.Item{t.Plan.Codec().KeyAttribute(): key}
}

func uniqueKey(value string) codec.Item { return codec.Item{"value": dynamo.String(value)} }

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
			items[keyText(item[t.Plan.Codec().KeyAttribute()])] = item
			return
		}
		for i, u := range t.Plan.Unique {
			if u.Table == table {
				entries[i][keyText(item["value"])] = item
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
