package outboxtable

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// The attributes of an item beside its key, see the package comment.
const (
	attrEvents  = "events"
	attrAt      = "at"
	attrExpires = "expires"
	attrRelay   = "relay"
	attrUntil   = "until"
)

func (e Entry) attributes() dynamo.Item {
	list := make([]types.AttributeValue, len(e.encoded))
	for i, data := range e.encoded {
		list[i] = &types.AttributeValueMemberB{Value: data}
	}
	a := dynamo.Key(e.PartitionKey, e.SortKey)
	a[attrEvents] = &types.AttributeValueMemberL{Value: list}
	a[attrAt] = dynamo.Int(e.at.UnixMilli())
	a[attrExpires] = dynamo.Int(e.at.Add(Keep).Unix())
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

// storedOf reads what it can: an item that no Entry made becomes one without events, and
// thus a dead letter.
func storedOf(a dynamo.Item) stored {
	s := stored{pk: dynamo.StringOf(a, dynamo.AttrPK), sk: dynamo.StringOf(a, dynamo.AttrSK), relay: dynamo.StringOf(a, attrRelay)}
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

func (s stored) key() dynamo.Item { return dynamo.Key(s.pk, s.sk) }

// timeOf is the zero time where there is none.
func timeOf(item dynamo.Item, name string) time.Time {
	ms, err := dynamo.IntOf(item, name)
	if err != nil || item[name] == nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
