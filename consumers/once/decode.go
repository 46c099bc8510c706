package once

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
)

// Text reads a text attribute, empty when there is none.
func Text(item Attributes, name string) string {
	if v, ok := item[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// Number reads a whole number, 0 when there is none.
func Number(item Attributes, name string) (int64, error) {
	v, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("item %s/%s: attribute %s: %w", Text(item, "pk"), Text(item, "sk"), name, err)
	}
	return n, nil
}

// Bool reads a truth value, false when there is none.
func Bool(item Attributes, name string) bool {
	v, ok := item[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

// Position reads the position that the item was written for.
func Position(item Attributes) (events.Position, error) {
	p, err := events.ParsePosition(Text(item, AttrPosition))
	if err != nil {
		return p, fmt.Errorf("item %s/%s: %w", Text(item, "pk"), Text(item, "sk"), err)
	}
	return p, nil
}
