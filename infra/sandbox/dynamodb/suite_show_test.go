package dynamodb_test

import (
	"fmt"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// show writes an item in one fixed way: names and maps sorted. Equal items look equal.
func show(it item) string {
	names := make([]string, 0, len(it))
	for name := range it {
		names = append(names, name)
	}
	sort.Strings(names)
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%q:%s", name, showValue(it[name]))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func showValue(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return shorten(fmt.Sprintf("%q", v.Value))
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberB:
		return shorten(fmt.Sprintf("b%q", v.Value))
	case *types.AttributeValueMemberBOOL:
		return fmt.Sprint(v.Value)
	case *types.AttributeValueMemberNULL:
		return "null"
	case *types.AttributeValueMemberM:
		return show(v.Value)
	case *types.AttributeValueMemberL:
		return showList(v.Value)
	}
	return fmt.Sprintf("%T", v)
}

func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s...(%d)", s[:most], len(s))
}

func showList(l []types.AttributeValue) string {
	parts := make([]string, len(l))
	for i, v := range l {
		parts[i] = showValue(v)
	}
	return "[" + strings.Join(parts, " ") + "]"
}
