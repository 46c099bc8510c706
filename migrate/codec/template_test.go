package codec_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

func templateCodec(t testing.TB, idType string, templates ...string) *codec.Codec {
	t.Helper()
	key := codec.Key{Type: idType}
	if len(templates) == 1 {
		key.Template = templates[0]
	} else {
		key.Parts = []codec.Part{{Template: templates[0]}, {Template: templates[1], Attribute: "sort"}}
	}
	c, err := codec.New(codec.Config{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKeysByTemplate: the attributes hold what the templates make, the document comes back as
// it was, and its _id from the key alone.
func TestKeysByTemplate(t *testing.T) {
	id := func(id any, more ...bson.E) bson.D { return append(bson.D{{Key: "_id", Value: id}}, more...) }
	tenant := func(v any) bson.E { return bson.E{Key: "tenant", Value: v} }
	both := []string{"{tenant}#{_id}"}
	for _, c := range []struct {
		idType    string
		templates []string
		doc       bson.D
		key       string // as text, "" for a misfit
		reason    error
	}{
		{"string", both, id("c", tenant("a#b")), "a%23b#c", nil}, {"string", both, id("b#c", tenant("a")), "a#b%23c", nil},
		{"string", both, id("%23", tenant("")), "#%2523", nil}, {"number", both, id(1.0, tenant(int64(7))), "7#1", nil},
		{"number", both, id(int64(1), tenant(true)), "true#1", nil}, {"number", both, id(0.5, tenant(bson.NilObjectID)), strings.Repeat("0", 24) + "#0.5", nil},
		{"mixed", both, id(1.0, tenant("a")), "a#number:1", nil}, {"mixed", both, id("1", tenant("a")), "a#1", nil},
		{"document", both, id(bson.D{{Key: "n", Value: 1.0}}, tenant("a")), `a#{"n":1}`, nil},
		{"date", both, id(time.UnixMilli(0).UTC(), tenant("a")), "a#1970-01-01T00:00:00.000Z", nil},
		{"string", []string{"USER#{_id}"}, id("a#%"), "USER#a#%", nil}, {"number", []string{"{_id}"}, id(2.0), "2", nil},
		{"string", []string{"x{_id}#{at.place}y"}, id("a", bson.E{Key: "at", Value: bson.D{{Key: "place", Value: "p"}}}), "xa#py", nil},
		{"number", []string{"{tenant}", "{_id}"}, id(12, tenant("a#1")), "a%231#12", nil},
		{"number", []string{"t/{tenant}", "o/{_id}"}, id(12.0, tenant("a#1")), "t/a%231#o/12", nil},
		{"string", []string{"{_id}", "{tenant}"}, id("i", tenant("")), "", codec.ErrKeySize},
		{"string", []string{"{tenant}", "{_id}"}, id("i", tenant("")), "", codec.ErrKeySize},
		{"string", []string{"{tenant}", "{_id}"}, id(strings.Repeat("x", 1025), tenant("a")), "", codec.ErrKeySize},
		{"string", both, id("a"), "", codec.ErrKeyField}, {"string", both, id("a", tenant(nil)), "", codec.ErrKeyField},
		{"string", both, id("a", tenant(bson.A{"b"})), "", codec.ErrKeyField}, {"string", both, id("a", tenant("\xff")), "", codec.ErrKeyField},
		{"string", both, id("a", tenant(strings.Repeat("x", 2047))), "", codec.ErrKeySize}, {"string", both, id(int32(1), tenant("a")), "", codec.ErrKeyType},
		{"string", both, bson.D{tenant("a")}, "", codec.ErrKeyMissing},
	} {
		kc := templateCodec(t, c.idType, c.templates...)
		doc := marshal(t, append(c.doc, bson.E{Key: "id", Value: "a field"}, bson.E{Key: "sort", Value: 3}))
		if c.key == "" {
			var fit *codec.FitError
			if item, err := kc.Encode(doc); !errors.As(err, &fit) || !errors.Is(err, c.reason) || fit.WayOut == "" || fit.Field == "" {
				t.Errorf("%v: %v, %v", c.doc, item, err)
			}
			continue
		}
		item := roundTrip(t, kc, doc)
		key := kc.KeyOf(item)
		if codec.KeyText(key) != c.key || codec.KeyText(kc.KeyOfText(c.key)) != c.key {
			t.Errorf("%v: %q, want %q", c.doc, codec.KeyText(key), c.key)
		}
		alone, err := kc.ID(kc.KeyItem(key))
		if err != nil || codec.Identity(alone) != codec.Identity(doc.Lookup("_id")) {
			t.Errorf("%v: the key alone gives %v, %v", c.doc, alone, err)
		}
		if whole, err := kc.ID(item); err != nil || !whole.Equal(doc.Lookup("_id")) {
			t.Errorf("%v: the item gives %v, %v", c.doc, whole, err)
		}
		mark, err := kc.KeyOfID(doc.Lookup("_id"))
		if alone, idErr := kc.ID(kc.KeyItem(mark)); errors.Join(err, idErr) != nil || codec.Identity(alone) != codec.Identity(doc.Lookup("_id")) {
			t.Errorf("%v: the mark %v gives %v, %v, %v", c.doc, mark, alone, err, idErr)
		}
	}
}

// TestNoTwoDocumentsHaveOneKey: whatever the fields hold, a key leads back to one _id.
func TestNoTwoDocumentsHaveOneKey(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	text := func() string {
		var out strings.Builder
		for range r.IntN(5) {
			out.WriteString([]string{"#", "%", "23", "%23", "a", "#a", "number:1", ":"}[r.IntN(8)])
		}
		return out.String()
	}
	for _, templates := range [][]string{{"{a}#{_id}"}, {"{_id}#{a}"}, {"%{a}x#{_id}#23{b}"}, {"{a}", "x{_id}#{b}"}, {"23{_id}#23"}} {
		c, seen := templateCodec(t, "mixed", templates...), map[string]string{}
		for range 3000 {
			id := any(text())
			if r.IntN(4) == 0 {
				id = int32(r.IntN(3))
			}
			doc := marshal(t, bson.D{{Key: "_id", Value: id}, {Key: "a", Value: "a" + text()}, {Key: "b", Value: text()}})
			item, err := c.Encode(doc)
			if err != nil {
				t.Fatal(err)
			}
			key, is := codec.KeyText(c.KeyOf(item)), codec.Identity(doc.Lookup("_id"))
			if was, again := seen[key]; again && was != is {
				t.Fatalf("%q is the key of %q and %q", key, was, is)
			}
			seen[key] = is
			if alone, err := c.ID(c.KeyItem(c.KeyOf(item))); err != nil || codec.Identity(alone) != is {
				t.Fatalf("%v has the key %q, which leads to %v, %v", doc, key, alone, err)
			}
		}
	}
}

// TestKeysThatNoTemplateMakes are no document's, also where one could be read there.
func TestKeysThatNoTemplateMakes(t *testing.T) {
	c := templateCodec(t, "number", "t{tenant}#{_id}")
	for _, key := range []string{"", "ta", "a#1", "ta#", "ta#1#1", "ta#01", "ta#1.0", "ta#%31", "ta#x"} {
		if id, err := c.ID(codec.Item{"id": &types.AttributeValueMemberS{Value: key}}); err == nil {
			t.Errorf("%q leads to %v", key, id)
		}
	}
	long := &types.AttributeValueMemberS{Value: "a#" + strings.Repeat("x", 2049)}
	if id, err := templateCodec(t, "mixed", "{tenant}#{_id}").ID(codec.Item{"id": long}); err == nil {
		t.Errorf("a key that is too long for DynamoDB leads to %.20v", id)
	}
	if id, err := c.ID(codec.Item{"id": &types.AttributeValueMemberS{Value: "t%31#1"}}); err != nil || id.AsInt64() != 1 {
		t.Error(id, err)
	}
}

// TestTemplatesThatAreNoKey are refused, with what to do.
func TestTemplatesThatAreNoKey(t *testing.T) {
	for _, c := range []struct {
		key  codec.Key
		says string
	}{
		{codec.Key{Template: "{tenant}"}, "must name {_id} once"}, {codec.Key{Template: "{_id}#{_id}"}, "must name {_id} once"},
		{codec.Key{Template: "{tenant}{_id}"}, "must have a # between"}, {codec.Key{Template: "{tenant}-{_id}"}, "must have a # between"},
		{codec.Key{Template: "_id"}, "names no field"}, {codec.Key{Template: "{_id"}, "in braces"}, {codec.Key{Template: "}{_id}"}, "without {"},
		{codec.Key{Template: "{_id}", Attribute: "_banyan"}, "reserved"},
		{codec.Key{Template: "{_id}", Parts: []codec.Part{{Template: "{a}"}}}, "one template, or two parts"},
		{codec.Key{Parts: []codec.Part{{Template: "{a}"}, {Template: "{b}"}}}, "must name {_id} once"},
		{codec.Key{Parts: []codec.Part{{Template: "{a}"}, {Field: "b", Type: "string"}}}, "one template, or two parts"},
		{codec.Key{Parts: []codec.Part{{Template: "{a}", Attribute: "x"}, {Template: "{_id}", Attribute: "x"}}}, "there twice"},
		{codec.Key{Parts: []codec.Part{{Template: "{a}"}, {Template: "{_id}", Attribute: strings.Repeat("x", 256)}}}, "allowed are 255"},
		{codec.Key{Parts: []codec.Part{{Template: "{a}"}, {Template: "{_id}"}, {Template: "{b}"}}}, "one template, or two parts"},
	} {
		if _, err := codec.New(codec.Config{Key: c.key}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.key, err, c.says)
		}
	}
}

// FuzzKeyByTemplate: a key that leads to an _id is one that the template makes of it.
func FuzzKeyByTemplate(f *testing.F) {
	for _, s := range []string{"a#1", "a%23b#x", "#", "%#%", "a#number:1", "a#string:number:1"} {
		f.Add(s)
	}
	c := templateCodec(f, "mixed", "{tenant}#{_id}")
	f.Fuzz(func(t *testing.T, key string) {
		id, err := c.ID(codec.Item{"id": &types.AttributeValueMemberS{Value: key}})
		if err != nil {
			return
		}
		_, part, _ := strings.Cut(key, "#")
		own, err := c.Key(id)
		if err != nil {
			t.Fatalf("%q leads to %v, which is no key: %v", key, id, err)
		}
		if got := strings.NewReplacer("%", "%25", "#", "%23").Replace(codec.KeyText(own)); got != part {
			t.Fatalf("%q leads to %v, whose part is %q", key, id, got)
		}
	})
}
