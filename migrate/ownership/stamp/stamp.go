// Package stamp is what the owning service and the migration both know of an item
// in DynamoDB: one reserved map attribute, and three of its members.
//
//   - [Epoch] is written by the service with every write: the epoch of the grant it
//     writes under. Where it is present, the migration never overwrites the item.
//   - [Time] is written by the migration: the cluster time in MongoDB of the content.
//   - [Tombstone] is written by the migration in place of a deleted document, so that
//     no later copy brings it back. A service treats such an item as absent, and may
//     replace it.
//
// Other members of the map belong to the codec. A service keeps what it does not know.
package stamp

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Attribute is the reserved attribute of every item, a map.
const Attribute = "_banyan"

// Members of the map.
const (
	Time      = "t" // N, a ClusterTime
	Epoch     = "e" // N
	Tombstone = "d" // BOOL
)

// ClusterTime is a cluster time of MongoDB as one number: seconds<<32 | increment.
type ClusterTime uint64

// ClusterTimeOf returns ts as one number.
func ClusterTimeOf(ts bson.Timestamp) ClusterTime { return ClusterTime(ts.T)<<32 | ClusterTime(ts.I) }

// Timestamp returns c as MongoDB has it.
func (c ClusterTime) Timestamp() bson.Timestamp {
	return bson.Timestamp{T: uint32(c >> 32), I: uint32(c)}
}

// Value returns c as the attribute value of [Time].
func (c ClusterTime) Value() types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(uint64(c), 10)}
}

// Stamp is the members of an item's reserved attribute. The zero Stamp is that of an
// item which neither the migration nor the service has written.
type Stamp struct {
	Time      ClusterTime
	HasTime   bool // written by the migration
	Epoch     int64
	HasEpoch  bool // written by the service
	Tombstone bool
}

// Of reads the stamp of an item.
func Of(item dynamo.Item) Stamp {
	var s Stamp
	m, ok := item[Attribute].(*types.AttributeValueMemberM)
	if !ok {
		return s
	}
	if n, ok := m.Value[Time].(*types.AttributeValueMemberN); ok {
		t, err := strconv.ParseUint(n.Value, 10, 64)
		s.Time, s.HasTime = ClusterTime(t), err == nil
	}
	s.Epoch, _ = dynamo.IntOf(m.Value, Epoch)
	_, s.HasEpoch = m.Value[Epoch]
	s.Tombstone = dynamo.BoolOf(m.Value, Tombstone)
	return s
}

// OfEpoch is the reserved attribute of an item that a service writes anew.
func OfEpoch(epoch int64) types.AttributeValue {
	return &types.AttributeValueMemberM{Value: dynamo.Item{Epoch: dynamo.Int(epoch)}}
}

// Put stamps an item that the migration writes; it keeps the codec's members.
func Put(item dynamo.Item, at ClusterTime, tombstone bool) {
	m := dynamo.Item{}
	if old, ok := item[Attribute].(*types.AttributeValueMemberM); ok {
		for k, v := range old.Value {
			m[k] = v
		}
	}
	m[Time] = at.Value()
	if tombstone {
		m[Tombstone] = dynamo.Bool(true)
	}
	item[Attribute] = &types.AttributeValueMemberM{Value: m}
}
