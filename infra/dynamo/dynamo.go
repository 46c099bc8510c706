// Package dynamo has the few pieces that every user of DynamoDB here needs and the
// SDK does not have: attribute values of one attribute, conditions that did not
// hold, and tables that are there before they are used. For whole items use the
// SDK's packages attributevalue and expression.
package dynamo

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Item is an item or a key, by attribute name.
type Item = map[string]types.AttributeValue

// String is the attribute value of a text.
func String(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// Int is the attribute value of a whole number.
func Int(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// Bytes is the attribute value of b.
func Bytes(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// Bool is the attribute value of b.
func Bool(b bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: b} }

// StringOf returns the text that item has under name, "" where it has none.
func StringOf(item Item, name string) string {
	if v, ok := item[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// IntOf returns the whole number that item has under name, 0 where it has none. It
// fails for a number that is not whole, or does not fit.
func IntOf(item Item, name string) (int64, error) {
	v, ok := item[name].(*types.AttributeValueMemberN)
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("attribute %s: %w", name, err)
	}
	return n, nil
}

// BytesOf returns the bytes that item has under name, nil where it has none.
func BytesOf(item Item, name string) []byte {
	if v, ok := item[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

// BoolOf returns the truth value that item has under name, false where it has none.
func BoolOf(item Item, name string) bool {
	v, ok := item[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

// CodeConditionFailed is the code of a cancellation reason whose item's condition
// did not hold.
const CodeConditionFailed = "ConditionalCheckFailed"

// IsConditionFailed reports whether err says that a condition did not hold: that of
// a single write, or any of a transaction's.
func IsConditionFailed(err error) bool {
	if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return true
	}
	for _, reason := range CancellationReasons(err) {
		if aws.ToString(reason.Code) == CodeConditionFailed {
			return true
		}
	}
	return false
}

// CancellationReasons returns why a transaction was cancelled, one reason an item in
// the order of the request, and nil where err is something else.
func CancellationReasons(err error) []types.CancellationReason {
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return nil
	}
	return cancelled.CancellationReasons
}
