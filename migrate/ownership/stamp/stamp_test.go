package stamp_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// TestOneAttribute: the codec keeps its hints where the stamps are.
func TestOneAttribute(t *testing.T) {
	if codec.Reserved != stamp.Attribute {
		t.Errorf("the codec reserves %q, stamps are in %q", codec.Reserved, stamp.Attribute)
	}
}

func TestOf(t *testing.T) {
	at := stamp.ClusterTimeOf(bson.Timestamp{T: 7, I: 3})
	if at.Timestamp() != (bson.Timestamp{T: 7, I: 3}) {
		t.Errorf("%v comes back as %v", at, at.Timestamp())
	}
	hints := &types.AttributeValueMemberM{Value: dynamo.Item{"h": dynamo.String("kept")}}
	onlyTime := &types.AttributeValueMemberM{Value: dynamo.Item{stamp.Time: at.Value()}}
	written := func(tombstone bool) dynamo.Item {
		item := dynamo.Item{stamp.Attribute: hints}
		stamp.Put(item, 3, at, tombstone)
		return item
	}
	for name, c := range map[string]struct {
		item dynamo.Item
		want stamp.Stamp
	}{
		"nothing":      {nil, stamp.Stamp{}},
		"out of band":  {dynamo.Item{"id": dynamo.String("x")}, stamp.Stamp{}},
		"not a map":    {dynamo.Item{stamp.Attribute: dynamo.String("x")}, stamp.Stamp{}},
		"only hints":   {dynamo.Item{stamp.Attribute: hints}, stamp.Stamp{}},
		"migrated":     {written(false), stamp.Stamp{Time: at, HasTime: true, Epoch: 3, HasEpoch: true}},
		"deleted":      {written(true), stamp.Stamp{Time: at, HasTime: true, Epoch: 3, HasEpoch: true, Tombstone: true}},
		"once":         {dynamo.Item{stamp.Attribute: onlyTime}, stamp.Stamp{Time: at, HasTime: true, Epoch: stamp.FirstEpoch}},
		"by a service": {dynamo.Item{stamp.Attribute: stamp.OfEpoch(4)}, stamp.Stamp{Epoch: 4, HasEpoch: true}},
	} {
		if got := stamp.Of(c.item); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if kept := written(false)[stamp.Attribute].(*types.AttributeValueMemberM).Value; dynamo.StringOf(kept, "h") != "kept" {
		t.Errorf("the hints are lost: %v", kept)
	}
}
