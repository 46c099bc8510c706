package rebuild

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// content is an item's attributes as texts that are equal for equal values.
type content map[string]string

func contentOf(item dynamo.Item, ignore []string) content {
	c := content{}
	for name, v := range item {
		if !slices.Contains(ignore, name) {
			c[name] = text(v)
		}
	}
	return c
}

// digest is "" for an item that there is not. Maps are printed in the order of their keys.
func digest(c content) string {
	if c == nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", c))
	return string(sum[:])
}

// keyText is for people, too.
func keyText(item dynamo.Item, key []string) string {
	var parts []string
	for _, name := range key {
		parts = append(parts, text(item[name]))
	}
	return strings.Join(parts, " ")
}

// text is equal for equal values; sets have no order.
func text(v types.AttributeValue) string {
	var list []string
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return fmt.Sprintf("%q", v.Value)
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberB:
		return fmt.Sprintf("B%q", v.Value)
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprint(v.Value)
	case *types.AttributeValueMemberM:
		return fmt.Sprintf("M%q", contentOf(v.Value, nil))
	case *types.AttributeValueMemberL:
		for _, inner := range v.Value {
			list = append(list, text(inner))
		}
		return fmt.Sprintf("L%q", list)
	case *types.AttributeValueMemberSS:
		list = slices.Clone(v.Value)
	case *types.AttributeValueMemberNS:
		list = slices.Clone(v.Value)
	case *types.AttributeValueMemberBS:
		for _, b := range v.Value {
			list = append(list, string(b))
		}
	default:
		return "null"
	}
	slices.Sort(list)
	return fmt.Sprintf("%T%q", v, list)
}
