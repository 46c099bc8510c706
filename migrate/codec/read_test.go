package codec_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// A service changes an item and keeps its hints: those that no longer fit are passed over,
// and all others are followed.
func TestReadPassesOverHintsThatDoNotFit(t *testing.T) {
	c, err := codec.New(codec.Config{Key: codec.Key{Type: codec.TypeString}, Fields: []codec.Field{{From: "at", Type: codec.TypeDate}}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := bson.Marshal(bson.D{{Key: "z", Value: 1.0}, {Key: "_id", Value: "a"}, {Key: "kept", Value: 1.0}, {Key: "gone", Value: int64(1)},
		{Key: "other", Value: int64(5)}, {Key: "sub", Value: bson.D{{Key: "y", Value: int64(1)}, {Key: "x", Value: 2.0}}},
		{Key: "list", Value: bson.A{1.0, 2.0}}})
	if err != nil {
		t.Fatal(err)
	}
	item, err := c.Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := c.Read(item); err != nil || string(back) != string(doc) {
		t.Errorf("an item that nobody changed is %s, %v", back, err)
	}
	delete(item, "gone")
	item["at"] = &types.AttributeValueMemberS{Value: "2026-11-30T00:00:00.000Z"}
	item["other"] = &types.AttributeValueMemberS{Value: "a text"}
	item["sub"].(*types.AttributeValueMemberM).Value["new"] = &types.AttributeValueMemberBOOL{Value: true}
	item["list"].(*types.AttributeValueMemberL).Value[1] = &types.AttributeValueMemberS{Value: "a text"}
	if _, err := c.Decode(item); !errors.Is(err, codec.ErrHint) {
		t.Errorf("decoded strictly: %v", err)
	}
	got, err := c.Read(item)
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range map[string]bson.Type{"z": bson.TypeDouble, "kept": bson.TypeDouble, "other": bson.TypeString, "at": bson.TypeDateTime} {
		if v := got.Lookup(path); v.Type != kind {
			t.Errorf("%s is %s, want %s", path, v.Type, kind)
		}
	}
	if x, y, n := got.Lookup("sub", "x"), got.Lookup("sub", "y"), got.Lookup("sub", "new"); x.Type != bson.TypeDouble || y.Type != bson.TypeInt64 || !n.Boolean() {
		t.Errorf("sub is %s", got.Lookup("sub"))
	}
	if a, b := got.Lookup("list", "0"), got.Lookup("list", "1"); a.Type != bson.TypeDouble || b.Type != bson.TypeString {
		t.Errorf("list is %s", got.Lookup("list"))
	}
	item["n"] = &types.AttributeValueMemberSS{Value: []string{"x"}}
	if _, err := c.Read(item); !errors.Is(err, codec.ErrAttribute) {
		t.Errorf("a set, which BSON has not: %v", err)
	}
}
