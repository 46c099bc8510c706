package once

import (
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Key is the primary key of an item: the attributes pk and sk, both texts.
type Key struct{ PK, SK string }

// KeyOf is the key with the two parts.
func KeyOf(pk, sk string) Key { return Key{PK: pk, SK: sk} }

// Item is k as attributes.
func (k Key) Item() dynamo.Item { return dynamo.Key(k.PK, k.SK) }

func (k Key) compare(o Key) int {
	return strings.Compare(k.PK+"\x00"+k.SK, o.PK+"\x00"+o.SK)
}

// Condition is a DynamoDB condition expression with the names and values that it
// refers to. The zero value always holds.
type Condition struct {
	Text   string
	Names  map[string]string
	Values dynamo.Item
}

func (c Condition) text() *string {
	if c.Text == "" {
		return nil
	}
	return &c.Text
}

type opKind int

const (
	opPut opKind = iota
	opUpdate
	opDelete
	opCheck
)

// Op is one write, or one check, of a [Change]. [Put], [Update], [Delete], [Check]
// and [Marker] make one.
type Op struct {
	kind      opKind
	key       Key
	item      dynamo.Item // of a put
	update    string      // expression of an update
	condition Condition
}

// Put writes the whole item if the condition holds. The key is added to attributes.
func Put(k Key, attributes dynamo.Item, c Condition) Op {
	item := maps.Clone(attributes)
	if item == nil {
		item = dynamo.Item{}
	}
	maps.Copy(item, k.Item())
	return Op{kind: opPut, key: k, item: item, condition: c}
}

// Update changes an item by an update expression if the condition holds. The
// expression uses the names and values of the condition.
func Update(k Key, expression string, c Condition) Op {
	return Op{kind: opUpdate, key: k, update: expression, condition: c}
}

// Delete removes the item, which need not exist.
func Delete(k Key) Op { return Op{kind: opDelete, key: k} }

// Check writes nothing and requires that the condition holds for the item.
func Check(k Key, c Condition) Op { return Op{kind: opCheck, key: k, condition: c} }

// Add adds to counters of an item, which need not exist.
type Add struct {
	Key    Key
	Deltas map[string]int64 // by attribute
}

// Change is what happens together, or not at all when the condition of one of its Ops
// does not hold. It has 1 to 100 keys, each of them once.
type Change struct {
	Ops  []Op
	Adds []Add
}

// size estimates the bytes of the request.
func (c Change) size() int {
	n := 200 * len(c.Adds)
	for _, o := range c.Ops {
		n += 100 + sizeOf(o.item) + sizeOf(o.condition.Values)
	}
	return n
}

func sizeOf(item dynamo.Item) int {
	n := 0
	for name, v := range item {
		n += len(name) + sizeOfValue(v)
	}
	return n
}

func sizeOfValue(v types.AttributeValue) int {
	n := 20
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		n += len(v.Value)
	case *types.AttributeValueMemberB:
		n += len(v.Value)
	case *types.AttributeValueMemberM:
		n += sizeOf(v.Value)
	case *types.AttributeValueMemberL:
		for _, e := range v.Value {
			n += sizeOfValue(e)
		}
	}
	return n
}

func (o Op) request(table string) types.TransactWriteItem {
	c := o.condition
	switch o.kind {
	case opPut:
		return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: o.item,
			ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
	case opUpdate:
		return types.TransactWriteItem{Update: &types.Update{TableName: &table, Key: o.key.Item(), UpdateExpression: &o.update,
			ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
	case opDelete:
		return types.TransactWriteItem{Delete: &types.Delete{TableName: &table, Key: o.key.Item()}}
	}
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &table, Key: o.key.Item(),
		ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
}
