package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
)

var (
	// ErrServiceOwned: the service has written the item in DynamoDB; a migration
	// never overwrites that.
	ErrServiceOwned = errors.New("the item was written by the owning service in DynamoDB")
	// ErrStranger: the target holds an item that neither the migration nor the
	// service wrote.
	ErrStranger = errors.New("the target holds an item that was not written by the migration")
)

// Members of the reserved attribute, as the services know them too.
const (
	stampTime  = "t" // N: source cluster time of the content
	stampEpoch = "e" // N: set by the service; refuses the migration
	stampDead  = "d" // BOOL: tombstone
)

// stamps are the parts of the reserved attribute that a migration looks at.
type stamps struct {
	time  clock
	timed bool
	owned bool // carries an epoch
	dead  bool
}

func stampsOf(item codec.Item) stamps {
	var s stamps
	m, ok := item[codec.Reserved].(*types.AttributeValueMemberM)
	if !ok {
		return s
	}
	if n, ok := m.Value[stampTime].(*types.AttributeValueMemberN); ok {
		t, err := strconv.ParseUint(n.Value, 10, 64)
		s.time, s.timed = clock(t), err == nil
	}
	if d, ok := m.Value[stampDead].(*types.AttributeValueMemberBOOL); ok {
		s.dead = d.Value
	}
	_, s.owned = m.Value[stampEpoch]
	return s
}

func stamp(item codec.Item, at clock, dead bool) {
	m := map[string]types.AttributeValue{}
	if old, ok := item[codec.Reserved].(*types.AttributeValueMemberM); ok {
		for k, v := range old.Value {
			m[k] = v
		}
	}
	m[stampTime] = number(at)
	if dead {
		m[stampDead] = &types.AttributeValueMemberBOOL{Value: true}
	}
	item[codec.Reserved] = &types.AttributeValueMemberM{Value: m}
}

func number(c clock) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(uint64(c), 10)}
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

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

// target is the entity's table and the tables of its unique constraints.
type target struct {
	plan   *plan.Plan
	codec  *codec.Codec
	client DynamoDBAPI
}

// entry is one encoded document.
type entry struct {
	id     bson.RawValue
	key    types.AttributeValue
	item   codec.Item
	unique []string // value for each constraint of the plan, "" for none
	size   int
}

func (t *target) encode(doc bson.Raw, at clock) (entry, error) {
	item, err := t.codec.Encode(doc)
	if err != nil {
		return entry{}, err
	}
	e := entry{item: item, key: item[t.codec.KeyAttribute()], size: codec.Size(item)}
	// The key was encoded, so the document has it.
	e.id = doc.Lookup(t.codec.KeyField())
	if e.unique, err = t.uniqueOf(item); err != nil {
		var fit *codec.FitError
		if errors.As(err, &fit) {
			fit.ID = codec.Show(e.id)
		}
		return entry{}, err
	}
	stamp(item, at, false)
	return e, nil
}

// uniqueOf returns an item's values under the plan's constraints. Absent and
// null values are unconstrained.
func (t *target) uniqueOf(item codec.Item) ([]string, error) {
	values := make([]string, len(t.plan.Unique))
	for i, u := range t.plan.Unique {
		switch v := item[t.codec.Attribute(u.Field)].(type) {
		case nil, *types.AttributeValueMemberNULL:
			continue
		case *types.AttributeValueMemberS:
			values[i] = u.Field + "#" + v.Value
		case *types.AttributeValueMemberN:
			values[i] = u.Field + "#" + v.Value
		default:
			return nil, &codec.FitError{Field: u.Field, Reason: fmt.Errorf("%w: a unique value must be a string or a number", codec.ErrKeyType), WayOut: "repair the field in MongoDB, or take the constraint out of the plan"}
		}
		if len(values[i]) > codec.MaxKeySize {
			return nil, &codec.FitError{Field: u.Field, Reason: fmt.Errorf("%w: %d bytes, allowed are %d", codec.ErrKeySize, len(values[i]), codec.MaxKeySize), WayOut: "shorten the value in MongoDB, or take the constraint out of the plan"}
		}
	}
	return values, nil
}

func (t *target) itemKey(key types.AttributeValue) codec.Item {
	return codec.Item{t.codec.KeyAttribute(): key}
}

func uniqueKey(value string) codec.Item { return codec.Item{"value": str(value)} }

// get reads items and unique entries consistently, at most 100 together.
func (t *target) get(ctx context.Context, keys []types.AttributeValue, unique [][]string) (map[string]codec.Item, []map[string]codec.Item, error) {
	request := map[string]types.KeysAndAttributes{}
	add := func(table string, k codec.Item) {
		r := request[table]
		r.ConsistentRead = aws.Bool(true)
		r.Keys = append(r.Keys, k)
		request[table] = r
	}
	for _, k := range keys {
		add(t.plan.Target.Table, t.itemKey(k))
	}
	for i, values := range unique {
		for _, v := range values {
			add(t.plan.Unique[i].Table, uniqueKey(v))
		}
	}
	items, entries := map[string]codec.Item{}, make([]map[string]codec.Item, len(t.plan.Unique))
	for i := range entries {
		entries[i] = map[string]codec.Item{}
	}
	err := t.batchGet(ctx, request, func(table string, item codec.Item) {
		if table == t.plan.Target.Table {
			items[keyText(item[t.codec.KeyAttribute()])] = item
			return
		}
		for i, u := range t.plan.Unique {
			if u.Table == table {
				entries[i][keyText(item["value"])] = item
			}
		}
	})
	return items, entries, err
}

// batchGet asks again for what the server left unprocessed, until it has all.
func (t *target) batchGet(ctx context.Context, request map[string]types.KeysAndAttributes, each func(table string, item codec.Item)) error {
	for i := 0; len(request) > 0; i++ {
		var out *dynamodb.BatchGetItemOutput
		err := retry(ctx, "read from "+t.plan.Target.Table, func(ctx context.Context) (err error) {
			out, err = t.client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: request})
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
			if err := sleep(ctx, backoff(min(i, 5))); err != nil {
				return err
			}
		}
	}
	return nil
}
