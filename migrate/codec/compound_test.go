package codec_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

func partsCodec(t *testing.T, first, second string) *codec.Codec {
	t.Helper()
	c, err := codec.New(codec.Config{Key: codec.Key{Type: "document",
		Parts: []codec.Part{{Field: "tenant", Type: first}, {Field: "no", Type: second, Attribute: "number"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestIdentifiersOfTwoParts: each part is a key attribute, a document comes back as it was,
// and its key's text leads back to it.
func TestIdentifiersOfTwoParts(t *testing.T) {
	id := func(tenant, no any) bson.D { return bson.D{{Key: "tenant", Value: tenant}, {Key: "no", Value: no}} }
	for _, c := range []struct {
		first, second string
		id            any
		text          string // of the key, "" for a misfit
		reason        error
	}{
		{"string", "number", id("a#b", int32(7)), "a%23b#7", nil}, {"string", "number", id("a%23b", 7.0), "a%2523b#7", nil},
		{"string", "number", id("a", int64(1<<60)), "a#1152921504606846976", nil}, {"string", "number", id("a", -0.5), "a#-0.5", nil},
		{"number", "string", id(math.Copysign(0, -1), "#"), "0#%23", nil}, {"objectId", "int64", id(bson.NilObjectID, int64(1)), strings.Repeat("0", 24) + "#1", nil},
		{"string", "number", id("", 1), "", codec.ErrKeySize}, {"string", "string", id("a", strings.Repeat("x", 1025)), "", codec.ErrKeySize},
		{"string", "string", id("a", strings.Repeat("x", 1024)), "a#" + strings.Repeat("x", 1024), nil},
		{"string", "number", id("a", "7"), "", codec.ErrKeyType}, {"string", "int64", id("a", int32(7)), "", codec.ErrKeyType},
		{"string", "number", bson.D{{Key: "no", Value: 1}, {Key: "tenant", Value: "a"}}, "", codec.ErrKeyType},
		{"string", "number", append(id("a", 1), bson.E{Key: "x", Value: 1}), "", codec.ErrKeyType}, {"string", "number", "a", "", codec.ErrKeyType},
	} {
		kc := partsCodec(t, c.first, c.second)
		doc := marshal(t, bson.D{{Key: "_id", Value: c.id}, {Key: "pk", Value: "a field"}, {Key: "number", Value: 3}})
		key, err := kc.Key(doc.Lookup("_id"))
		var fit *codec.FitError
		if c.text == "" {
			if !errors.As(err, &fit) || !errors.Is(err, c.reason) || fit.WayOut == "" {
				t.Errorf("%v: %v, %v", c.id, key, err)
			}
			continue
		}
		if err != nil || codec.KeyText(key) != c.text {
			t.Errorf("%v: %q, %v", c.id, codec.KeyText(key), err)
			continue
		}
		item := roundTrip(t, kc, doc)
		if item["pk"] == nil || item["number"] == nil || codec.KeyText(kc.KeyOf(item)) != c.text {
			t.Errorf("%v", item)
		}
		for _, alone := range []codec.Item{kc.KeyItem(key), kc.KeyItem(kc.KeyOfText(c.text))} {
			if back, err := kc.ID(alone); err != nil || len(alone) != 2 || !sameID(back, doc.Lookup("_id")) {
				t.Errorf("%v: %v, %v", alone, back, err)
			}
		}
	}
	if _, err := partsCodec(t, "string", "number").ID(codec.Item{"pk": &types.AttributeValueMemberS{Value: "a"}}); err == nil {
		t.Error("half a key is an identifier")
	}
}

// TestPartsThatCannotBeAKey are refused with the plan.
func TestPartsThatCannotBeAKey(t *testing.T) {
	for name, key := range map[string]codec.Key{
		"one":        {Type: "document", Parts: []codec.Part{{Field: "a", Type: "string"}}},
		"the same":   {Type: "document", Parts: []codec.Part{{Field: "a", Type: "string"}, {Field: "a", Type: "string"}}},
		"of no kind": {Type: "document", Parts: []codec.Part{{Field: "a", Type: "string"}, {Field: "b", Type: "bool"}}},
		"document":   {Type: "document", Parts: []codec.Part{{Field: "a", Type: "document"}, {Field: "b", Type: "string"}}},
		"attribute":  {Type: "document", Parts: []codec.Part{{Field: "a", Type: "string", Attribute: "x"}, {Field: "b", Type: "string", Attribute: "x"}}},
		"reserved":   {Type: "document", Parts: []codec.Part{{Field: "a", Type: "string", Attribute: "_banyan"}, {Field: "b", Type: "string"}}},
		"of another": {Type: "string", Parts: []codec.Part{{Field: "a", Type: "string"}, {Field: "b", Type: "string"}}},
	} {
		if c, err := codec.New(codec.Config{Key: key}); err == nil {
			t.Errorf("%s: %v", name, c)
		}
	}
}
