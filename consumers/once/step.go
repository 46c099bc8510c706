package once

import (
	"maps"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Value is the value of one attribute.
type Value = types.AttributeValue

// Attributes are an item's or an expression's values.
type Attributes = map[string]types.AttributeValue

// S makes a text.
func S(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// N makes a number.
func N(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// B makes a boolean.
func B(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }

// Key is the primary key of an item; both attributes, pk and sk, are texts.
type Key struct{ PK, SK string }

// At is the key of the two.
func At(pk, sk string) Key { return Key{PK: pk, SK: sk} }

// Attributes is k as DynamoDB wants it.
func (k Key) Attributes() Attributes { return Attributes{"pk": S(k.PK), "sk": S(k.SK)} }

// Expression is a DynamoDB expression with what it refers to.
type Expression struct {
	Text   string
	Names  map[string]string
	Values Attributes
}

func (e Expression) text() *string {
	if e.Text == "" {
		return nil
	}
	return &e.Text
}

// verb is what is done with an item.
type verb int

const (
	put verb = iota
	update
	remove
	check
)

// Item is one write, or one check, of a step.
type Item struct {
	key       Key
	verb      verb
	attrs     Attributes // put
	set       string     // update
	condition Expression
}

// Put writes the whole item if the condition, which may be empty, holds.
func Put(k Key, attrs Attributes, condition Expression) Item {
	all := maps.Clone(attrs)
	maps.Copy(all, k.Attributes())
	return Item{key: k, verb: put, attrs: all, condition: condition}
}

// Update changes an item by an update expression, which shares the names and
// values of the condition.
func Update(k Key, expression string, condition Expression) Item {
	return Item{key: k, verb: update, set: expression, condition: condition}
}

// Delete removes the item, if it is there.
func Delete(k Key) Item { return Item{key: k, verb: remove} }

// Check demands that the condition holds.
func Check(k Key, condition Expression) Item {
	return Item{key: k, verb: check, condition: condition}
}

// Add adds to counters of an item that need not exist.
type Add struct {
	Key    Key
	Deltas map[string]int64
}

// Step is what happens together or, when a condition does not hold, not at all.
// No key may be in it twice, and at most 100 in all.
type Step struct {
	Items []Item
	Adds  []Add
}

func (s Step) size() int {
	n := 0
	for _, i := range s.Items {
		n += 100 + sizeOf(i.attrs) + sizeOf(i.condition.Values)
	}
	return n + 200*len(s.Adds)
}

// sizeOf estimates; only texts can be long here.
func sizeOf(attrs Attributes) int {
	n := 0
	for name, v := range attrs {
		n += len(name) + 20
		if s, ok := v.(*types.AttributeValueMemberS); ok {
			n += len(s.Value)
		}
	}
	return n
}

func (i Item) write(table string) types.TransactWriteItem {
	c := i.condition
	switch i.verb {
	case put:
		return types.TransactWriteItem{Put: &types.Put{TableName: &table, Item: i.attrs,
			ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
	case update:
		return types.TransactWriteItem{Update: &types.Update{TableName: &table, Key: i.key.Attributes(), UpdateExpression: &i.set,
			ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
	case remove:
		return types.TransactWriteItem{Delete: &types.Delete{TableName: &table, Key: i.key.Attributes()}}
	}
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: &table, Key: i.key.Attributes(),
		ConditionExpression: c.text(), ExpressionAttributeNames: c.Names, ExpressionAttributeValues: c.Values}}
}
