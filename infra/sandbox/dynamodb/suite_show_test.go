package dynamodb_test

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// show writes an item in one fixed way: names and sets sorted. Equal items look equal.
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
	case *types.AttributeValueMemberSS:
		return showSet("SS", v.Value)
	case *types.AttributeValueMemberNS:
		return showSet("NS", v.Value)
	case *types.AttributeValueMemberBS:
		return showSet("BS", asText(v.Value))
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

func showSet(kind string, elements []string) string {
	sorted := slices.Sorted(slices.Values(elements))
	return fmt.Sprintf("%s%q", kind, sorted)
}

func asText(raw [][]byte) []string {
	out := make([]string, len(raw))
	for i, b := range raw {
		out[i] = string(b)
	}
	return out
}
