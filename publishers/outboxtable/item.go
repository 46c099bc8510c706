package outboxtable

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// The attributes of an item, see the package comment.
const (
	attrPK      = "pk"
	attrSK      = "sk"
	attrEvents  = "events"
	attrAt      = "at"
	attrExpires = "expires"
	attrRelay   = "relay"
	attrUntil   = "until"
)

// reasonCondition is the code of a cancelled transaction's item.
const reasonCondition = "ConditionalCheckFailed"

type attributes = map[string]types.AttributeValue

func (e Entry) attributes() attributes {
	list := make([]types.AttributeValue, len(e.encoded))
	for i, data := range e.encoded {
		list[i] = &types.AttributeValueMemberB{Value: data}
	}
	a := keyOf(e.PartitionKey, e.SortKey)
	a[attrEvents] = &types.AttributeValueMemberL{Value: list}
	a[attrAt] = number(e.at.UnixMilli())
	a[attrExpires] = number(e.at.Add(Keep).Unix())
	return a
}

// stored is an item as a relay finds it.
type stored struct {
	pk, sk string
	events [][]byte // none where the item is not one of ours
	at     time.Time
	relay  string
	until  time.Time
}

// read takes what it can: what is not ours becomes an item without events, and
// thus a dead letter.
func read(a attributes) stored {
	s := stored{pk: textOf(a, attrPK), sk: textOf(a, attrSK), relay: textOf(a, attrRelay)}
	if list, ok := a[attrEvents].(*types.AttributeValueMemberL); ok {
		for _, v := range list.Value {
			b, _ := v.(*types.AttributeValueMemberB)
			if b == nil {
				b = &types.AttributeValueMemberB{}
			}
			s.events = append(s.events, b.Value)
		}
	}
	s.at, s.until = timeOf(a, attrAt), timeOf(a, attrUntil)
	return s
}

func (s stored) key() attributes { return keyOf(s.pk, s.sk) }

func keyOf(pk, sk string) attributes { return attributes{attrPK: text(pk), attrSK: text(sk)} }

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func textOf(a attributes, name string) string {
	if v, ok := a[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// timeOf is the zero time where there is none.
func timeOf(a attributes, name string) time.Time {
	v, ok := a[name].(*types.AttributeValueMemberN)
	if !ok {
		return time.Time{}
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(n)
}
