// Package stamp is what the owning service and the migration both know of an item
// in DynamoDB: one reserved map attribute, and some of its members.
//
//   - [Epoch] is written with every write: by the service the epoch of the grant that it
//     writes under, by the migration that of MongoDB's ownership in which the content was
//     MongoDB's. Nobody overwrites an item of a greater epoch than its own.
//
//   - [Time] is written by the migration: the cluster time in MongoDB of the content. It
//     decides between two versions of one epoch.
//
//   - [Tombstone] is written in place of a deleted document, so that no later copy brings
//     it back. A service treats such an item as absent, and may replace it.
//
//   - [Version] is written by a service into a tombstone of its own: the version of the
//     deletion, so that the versions of a document that is made anew go on from there.
//
//   - [Barrier] is written by the migration beside [Tombstone] into an item that stands for
//     no document: it is a mark in the table's stream.
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
	Version   = "v" // N, of a tombstone
	Barrier   = "b" // S, which barrier
	Touched   = "r" // S, random: the write that it is of, of a service, or of the migration to have the stream tell of it again
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

// FirstEpoch is the first of an entity. MongoDB owns it in that one, and in every second
// from there.
const FirstEpoch = 1

// IsMongoDBs reports whether MongoDB owns an entity in an epoch.
func IsMongoDBs(epoch int64) bool { return epoch%2 == FirstEpoch }

// Stamp is the members of an item's reserved attribute. The zero Stamp is that of an
// item which neither the migration nor the service has written.
type Stamp struct {
	Time    ClusterTime
	HasTime bool // written by the migration, and perhaps changed by the service since
	// Epoch is that of the content: FirstEpoch where the migration has written an item
	// without one, as it once did.
	Epoch     int64
	HasEpoch  bool
	Tombstone bool
	Barrier   string // "" for none
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
	if _, s.HasEpoch = m.Value[Epoch]; !s.HasEpoch && s.HasTime {
		s.Epoch = FirstEpoch
	}
	s.Tombstone, s.Barrier = dynamo.BoolOf(m.Value, Tombstone), dynamo.StringOf(m.Value, Barrier)
	return s
}

// OfEpoch is the reserved attribute of an item that a service writes anew.
func OfEpoch(epoch int64) types.AttributeValue {
	return &types.AttributeValueMemberM{Value: dynamo.Item{Epoch: dynamo.Int(epoch)}}
}

// OfBarrier is the reserved attribute of a barrier.
func OfBarrier(id string) types.AttributeValue {
	return &types.AttributeValueMemberM{Value: dynamo.Item{Tombstone: dynamo.Bool(true), Barrier: dynamo.String(id)}}
}

// Put stamps an item that the migration writes; it keeps the codec's members.
func Put(item dynamo.Item, epoch int64, at ClusterTime, tombstone bool) {
	m := dynamo.Item{}
	if old, ok := item[Attribute].(*types.AttributeValueMemberM); ok {
		for k, v := range old.Value {
			m[k] = v
		}
	}
	m[Epoch], m[Time] = dynamo.Int(epoch), at.Value()
	if tombstone {
		m[Tombstone] = dynamo.Bool(true)
	}
	item[Attribute] = &types.AttributeValueMemberM{Value: m}
}
