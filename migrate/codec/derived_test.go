package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

func derivedCodec(t *testing.T) *codec.Codec {
	t.Helper()
	c, err := codec.New(codec.Config{Fields: []codec.Field{{From: "old", Drop: true}, {From: "tenant", Type: "string"}},
		Derived: []codec.Derived{{Attribute: "both", Template: "t#{tenant}#{at.place}/{n}"}, {Attribute: "expires", Expires: "at.time", After: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDerivedAttributes: they are made from the fields, and are none themselves: a document
// comes back without them, also one that has a field of that name.
func TestDerivedAttributes(t *testing.T) {
	c := derivedCodec(t)
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	at := func(ms ...int64) any {
		if len(ms) == 1 {
			return bson.DateTime(ms[0])
		}
		all := bson.A{"no date"}
		for _, m := range ms {
			all = append(all, bson.DateTime(m))
		}
		return all
	}
	for name, c2 := range map[string]struct {
		n, time       any
		both, expires types.AttributeValue
	}{
		"all":             {7.0, at(1600000000001), text("t#a#Rome/7"), number("1600003601")},
		"whole second":    {"x", at(1600000000000), text("t#a#Rome/x"), number("1600003600")},
		"earliest":        {true, at(1600000005000, 1600000002000), text("t#a#Rome/true"), number("1600003602")},
		"null":            {nil, nil, nil, nil},
		"no date":         {bson.NilObjectID, "2020-01-01", text("t#a#Rome/000000000000000000000000"), nil},
		"empty list":      {int64(1), bson.A{}, text("t#a#Rome/1"), nil},
		"before the time": {at(0), at(-1500), text("t#a#Rome/1970-01-01T00:00:00.000Z"), number("3599")},
	} {
		doc := marshal(t, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "expires", Value: "a field"}, {Key: "tenant", Value: "a"},
			{Key: "n", Value: c2.n}, {Key: "at", Value: bson.D{{Key: "place", Value: "Rome"}, {Key: "time", Value: c2.time}}}})
		item := roundTrip(t, c, doc)
		if !codec.Same(codec.Item{"v": c2.both}, codec.Item{"v": item["both"]}) || !codec.Same(codec.Item{"v": c2.expires}, codec.Item{"v": item["expires"]}) {
			t.Errorf("%s: %v", name, item)
		}
	}
	_, err := c.Encode(marshal(t, bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "tenant", Value: bson.A{1}},
		{Key: "at", Value: bson.D{{Key: "place", Value: "x"}}}, {Key: "n", Value: 1}}))
	var fit *codec.FitError
	if !errors.As(err, &fit) || fit.Field != "tenant" || fit.ID == "" {
		t.Errorf("%v", err)
	}
}

// TestDroppedFields: the item has nothing of them, be it large or odd, and a version that
// has them gives them back.
func TestDroppedFields(t *testing.T) {
	c := derivedCodec(t)
	id := bson.NewObjectID()
	kept := marshal(t, bson.D{{Key: "_id", Value: id}, {Key: "x", Value: 1}})
	doc := marshal(t, bson.D{{Key: "_id", Value: id}, {Key: "old", Value: strings.Repeat("x", 500_000)}, {Key: "x", Value: 1}})
	item, err := c.Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Decode(wire(item))
	if err != nil || !bytes.Equal(back, kept) || !bytes.Equal(c.Kept(doc), kept) {
		t.Fatalf("%v, %v", back, err)
	}
	whole := marshal(t, bson.D{{Key: "_id", Value: id}, {Key: "x", Value: 1}, {Key: "old", Value: strings.Repeat("x", 500_000)}})
	if got := c.Restored(back, doc); !bytes.Equal(got, whole) {
		t.Errorf("%.100v", got)
	}
	if got := c.Restored(back, nil); !bytes.Equal(got, kept) {
		t.Errorf("%v", got)
	}
	// Names that repeat are stored with the whole document's bytes, without what is dropped.
	odd := marshal(t, bson.D{{Key: "_id", Value: id}, {Key: "old", Value: "secret"}, {Key: "x", Value: 1}, {Key: "x", Value: 2}})
	if item, err = c.Encode(odd); err != nil {
		t.Fatal(err)
	}
	if back, err = c.Decode(wire(item)); err != nil || bytes.Contains(back, []byte("secret")) || !bytes.Equal(back, c.Kept(odd)) {
		t.Errorf("%v, %v", back, err)
	}
}
