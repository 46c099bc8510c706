package target

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// condition is a condition expression, and what its placeholders stand for.
type condition struct {
	terms  []string
	names  map[string]string
	values map[string]types.AttributeValue
}

// expression requires all terms.
func (c *condition) expression() *string {
	text := strings.Join(c.terms, " AND ")
	return &text
}

// either requires one of the terms.
func (c *condition) either() *string {
	text := strings.Join(c.terms, " OR ")
	return &text
}

// older requires that an item is of an earlier epoch, or of this one and an earlier time.
func (c *condition) older(epoch int64, at stamp.ClusterTime) {
	if c.values == nil {
		c.values = map[string]types.AttributeValue{}
	}
	reserved := c.name(stamp.Attribute)
	e, t := reserved+"."+c.name(stamp.Epoch), reserved+"."+c.name(stamp.Time)
	c.values[":epoch"], c.values[":at"] = dynamo.Int(epoch), at.Value()
	c.terms = append(c.terms, e+" < :epoch", "("+e+" = :epoch AND "+t+" < :at)")
}

// name is the placeholder of an attribute's name.
func (c *condition) name(attribute string) string {
	if c.names == nil {
		c.names = map[string]string{}
	}
	placeholder := "#n" + strconv.Itoa(len(c.names))
	c.names[placeholder] = attribute
	return placeholder
}

// absent requires that there is no such attribute.
func (c *condition) absent(attribute string) *condition { return c.same(attribute, nil) }

// same requires that the attribute has the value, or is absent where that is nil.
func (c *condition) same(attribute string, value types.AttributeValue) *condition {
	return c.sameAt(c.name(attribute), value)
}

func (c *condition) sameAt(path string, value types.AttributeValue) *condition {
	if value == nil {
		c.terms = append(c.terms, "attribute_not_exists("+path+")")
		return c
	}
	if c.values == nil {
		c.values = map[string]types.AttributeValue{}
	}
	placeholder := ":v" + strconv.Itoa(len(c.values))
	c.values[placeholder] = value
	c.terms = append(c.terms, path+" = "+placeholder)
	return c
}

// stamp requires that an item still has those members of the stamp that it had when it was
// read.
func (c *condition) stamp(item codec.Item, members ...string) *condition {
	reserved := c.name(stamp.Attribute)
	var had map[string]types.AttributeValue
	if m, ok := item[stamp.Attribute].(*types.AttributeValueMemberM); ok {
		had = m.Value
	}
	for _, member := range members {
		c.sameAt(reserved+"."+c.name(member), had[member])
	}
	return c
}
