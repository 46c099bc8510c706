package codec_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
	"github.com/banyan-fig/banyan/migrate/codec"
)

func keyCodec(t testing.TB, kind string) *codec.Codec {
	t.Helper()
	c, err := codec.New(codec.Config{Key: codec.Key{Type: kind}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func rawID(t testing.TB, id any) bson.RawValue {
	t.Helper()
	return marshal(t, bson.D{{Key: "_id", Value: id}}).Lookup("_id")
}

func keyText(av types.AttributeValue) string {
	switch v := av.(type) {
	case *types.AttributeValueMemberS:
		return "S " + v.Value
	case *types.AttributeValueMemberN:
		return "N " + v.Value
	}
	return ""
}

func decimal(t testing.TB, s string) bson.Decimal128 {
	t.Helper()
	d, err := bson.ParseDecimal128(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestKeysOfRealCollections: what is stored for identifiers as collections have them.
func TestKeysOfRealCollections(t *testing.T) {
	oid, err := bson.ObjectIDFromHex("5f0000000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1600000000123).UTC()
	uuid := bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}
	for _, c := range []struct {
		kind string
		id   any
		want string // "" for a misfit
	}{
		{"number", int32(1), "N 1"}, {"number", int64(1), "N 1"}, {"number", 1.0, "N 1"}, {"number", decimal(t, "1.00"), "N 1"},
		{"number", math.Copysign(0, -1), "N 0"}, {"number", 1.6e12, "N 1600000000000"}, {"number", float64(1 << 60), "N 1152921504606846976"},
		{"number", 0.5, "N 0.5"}, {"number", 0.1, ""}, {"number", decimal(t, "0.1"), "N 0.1"}, {"number", math.NaN(), ""},
		{"number", math.Inf(1), ""}, {"number", "1", ""}, {"number", decimal(t, "1E+300"), ""},
		{"date", at, "S 2020-09-13T12:26:40.123Z"}, {"date", bson.DateTime(math.MaxInt64), ""},
		{"mixed", oid, "S 5f0000000000000000000001"}, {"mixed", "abc", "S abc"}, {"mixed", "5f0000000000000000000001", "S string:5f0000000000000000000001"},
		{"mixed", "", "S string:"}, {"mixed", "number:1", "S string:number:1"}, {"mixed", "number:x", "S string:number:x"},
		{"mixed", "string:a", "S string:string:a"}, {"mixed", "a:b", "S a:b"},
		{"mixed", 1.0, "S number:1"}, {"mixed", int64(1), "S number:1"}, {"mixed", uuid, "S uuid:30313233-3435-3637-3839-616263646566"},
		{"mixed", bson.Binary{Data: []byte{1, 255}}, "S binary::01ff"}, {"mixed", bson.Binary{Subtype: 5, Data: []byte{1}}, "S binary:5:01"},
		{"mixed", at, "S date:2020-09-13T12:26:40.123Z"}, {"mixed", true, "S bool:true"}, {"mixed", bson.Null{}, ""},
		{"mixed", bson.D{{Key: "t", Value: "a"}}, `S document:{"t":"a"}`}, {"mixed", bson.Symbol("a"), ""}, {"mixed", strings.Repeat("x", 2049), ""},
		{"document", bson.D{{Key: "tenant", Value: "a<b"}, {Key: "n", Value: 7.0}}, `S {"tenant":"a<b","n":7}`},
		{"document", bson.D{{Key: "n", Value: int32(7)}, {Key: "tenant", Value: "a<b"}}, `S {"n":7,"tenant":"a<b"}`},
		{"document", bson.D{{Key: "o", Value: oid}, {Key: "a", Value: bson.A{at, uuid, nil, true}}},
			`S {"o":{"$objectId":"5f0000000000000000000001"},"a":[{"$date":"2020-09-13T12:26:40.123Z"},{"$uuid":"30313233-3435-3637-3839-616263646566"},null,true]}`},
		{"document", bson.D{}, "S {}"}, {"document", bson.D{{Key: "$oid", Value: "x"}}, ""}, {"document", "{}", ""},
		{"document", bson.D{{Key: "x", Value: 0.1}}, ""}, {"document", bson.D{{Key: "x", Value: strings.Repeat("y", 2048)}}, ""},
	} {
		kc := keyCodec(t, c.kind)
		av, err := kc.Key(rawID(t, c.id))
		var fit *codec.FitError
		switch {
		case c.want == "" && !errors.As(err, &fit):
			t.Errorf("%s %v: %v, %v", c.kind, c.id, keyText(av), err)
		case c.want == "":
		case err != nil || keyText(av) != c.want:
			t.Errorf("%s %v: %q, %v", c.kind, c.id, keyText(av), err)
		default:
			roundTrip(t, kc, marshal(t, bson.D{{Key: "a", Value: 1}, {Key: "_id", Value: c.id}}))
		}
	}
}

// ids makes identifiers that are close to each other: equal, equal in another type, or
// alike as texts.
func (g generator) id(t *testing.T) bson.RawValue {
	n := []int64{0, 1, -1, 2, 10, 1 << 31, 1<<53 + 1, 1 << 53, math.MaxInt64, 1152921504606847000, 1 << 60}[g.IntN(11)]
	texts := []string{"", "1", "a", "number:1", "string:", "string:a", "0123456789abcdef01234567", "document:{}", "{}", "binary::", "date:5",
		"bool:true", "uuid:", "a\x00b", "ü", "\u2028"}
	switch g.IntN(12) {
	case 0:
		return rawID(t, int32(n))
	case 1:
		return rawID(t, n)
	case 2:
		return rawID(t, float64(n)/float64([]int{1, 1, 2, 10}[g.IntN(4)]))
	case 3:
		return rawID(t, bson.NewDecimal128(0x3040000000000000, uint64(max(n, 0))))
	case 4:
		return rawID(t, decimal(t, []string{"1.0", "0.10", "-0", "1E+1", "1152921504606847000", "2.5", "NaN"}[g.IntN(7)]))
	case 5, 6:
		return rawID(t, texts[g.IntN(len(texts))])
	case 7:
		return rawID(t, bson.ObjectID([]byte("\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67")))
	case 8:
		return rawID(t, bson.Binary{Subtype: byte(g.IntN(6)), Data: []byte("0123456789abcdef")[:g.IntN(2)*16]})
	case 9:
		return rawID(t, []any{true, false, time.UnixMilli(n).UTC(), bson.DateTime(n)}[g.IntN(4)])
	}
	members := []byte{0, 0, 0, 0}
	for range g.IntN(3) {
		v := g.id(t)
		members = append(append(append(members, byte(v.Type)), []string{"a", "b", "\"", "<"}[g.IntN(4)]...), 0)
		members = append(members, v.Value...)
	}
	return bson.RawValue{Type: bson.TypeEmbeddedDocument, Value: seal(members)}
}

// TestKeysAreEqualWhereMongoDBSaysSo: two identifiers have one key, and one identity,
// exactly if they compare as equal; and each comes back as it was.
func TestKeysAreEqualWhereMongoDBSaysSo(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	g := generator{rand.New(rand.NewPCG(seed, 5))}
	for _, kind := range []string{"number", "mixed", "document"} {
		c := keyCodec(t, kind)
		var ids []bson.RawValue
		var keys []string
		for range 400 {
			id := g.id(t)
			av, err := c.Key(id)
			if err != nil {
				continue
			}
			ids, keys = append(ids, id), append(keys, keyText(av))
			doc := bson.Raw(seal(append(append(append([]byte{0, 0, 0, 0}, byte(id.Type)), "_id\x00"...), id.Value...)))
			roundTrip(t, c, doc)
			alone, err := c.ID(codec.Item{"id": av})
			if err != nil || !sameID(alone, id) {
				t.Fatalf("seed %d: %s: %v of the key alone of %v: %v", seed, kind, alone, id, err)
			}
		}
		for i := range ids {
			for j := range i {
				same := sameID(ids[i], ids[j])
				if keys[i] == keys[j] != same || codec.Identity(ids[i]) == codec.Identity(ids[j]) != same {
					t.Fatalf("seed %d: %s: %v and %v: the same %v, keys %q %q", seed, kind, ids[i], ids[j], same, keys[i], keys[j])
				}
			}
		}
		if len(ids) < 20 {
			t.Errorf("%s: %d identifiers only", kind, len(ids))
		}
	}
}

func sameID(a, b bson.RawValue) bool {
	v := func(id bson.RawValue) value.V { return value.V{Type: bsoncore.Type(id.Type), Data: id.Value} }
	return value.Equal(v(a), v(b))
}

// TestAKeyHintThatIsWrongIsRefused: a program that changes a key and keeps its hint.
func TestAKeyHintThatIsWrongIsRefused(t *testing.T) {
	c := keyCodec(t, "mixed")
	item := roundTrip(t, c, marshal(t, bson.D{{Key: "_id", Value: 7.0}}))
	item["id"] = &types.AttributeValueMemberS{Value: "number:8"}
	if doc, err := c.Decode(item); !errors.Is(err, codec.ErrHint) {
		t.Errorf("%v, %v", doc, err)
	}
	if id, err := c.ID(item); !errors.Is(err, codec.ErrHint) {
		t.Errorf("%v, %v", id, err)
	}
}

// TestKeysAServiceWrites: an item without hints has the identifier that its key shows.
func TestKeysAServiceWrites(t *testing.T) {
	for _, c := range []struct {
		kind string
		av   types.AttributeValue
		want any
	}{
		{"number", &types.AttributeValueMemberN{Value: "5000000000"}, int64(5000000000)}, {"number", &types.AttributeValueMemberN{Value: "1.50"}, 1.5},
		{"number", &types.AttributeValueMemberN{Value: "0.1"}, decimal(t, "0.1")},
		{"mixed", &types.AttributeValueMemberS{Value: "abc"}, "abc"},
		{"document", &types.AttributeValueMemberS{Value: `{"b":1,"a":"x"}`}, bson.D{{Key: "b", Value: int32(1)}, {Key: "a", Value: "x"}}},
		{"document", &types.AttributeValueMemberS{Value: `{"b": 1}`}, nil}, {"document", &types.AttributeValueMemberS{Value: `{"b":1.0}`}, nil},
		{"document", &types.AttributeValueMemberS{Value: `{"b":1}{}`}, nil}, {"document", &types.AttributeValueMemberS{Value: `{"b":{"$x":"1"}}`}, nil},
		{"mixed", &types.AttributeValueMemberS{Value: "number:1.0E0x"}, nil}, {"mixed", &types.AttributeValueMemberS{Value: "number:1.0"}, nil},
		{"mixed", &types.AttributeValueMemberS{Value: "string:abc"}, nil},
		{"mixed", &types.AttributeValueMemberS{Value: "binary:4:30313233343536373839616263646566"}, nil},
	} {
		doc, err := keyCodec(t, c.kind).Decode(codec.Item{"id": c.av})
		if c.want == nil {
			if err == nil {
				t.Errorf("%s %s: %v", c.kind, keyText(c.av), doc)
			}
			continue
		}
		if want := marshal(t, bson.D{{Key: "_id", Value: c.want}}); err != nil || !bytes.Equal(doc, want) {
			t.Errorf("%s %s: %v, %v", c.kind, keyText(c.av), doc, err)
		}
	}
}

// FuzzKeyText: whatever stands in a table as a key is refused, or is the one key of an
// identifier.
func FuzzKeyText(f *testing.F) {
	for _, s := range []string{"abc",
		"number:1", "number:-1.5E-7", "string:", "document:{\"a\":[1,{\"$date\":\"2020-01-01T00:00:00.000Z\"}]}", "bool:true", "binary:5:00ff",
		"uuid:30313233-3435-3637-3839-616263646566", "date:-62167219200001", "{\"a\":{}}", "{\"b\":\"\u2028\"}", "0123456789abcdef01234567"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, kind := range []string{"mixed", "document", "number"} {
			var av types.AttributeValue = &types.AttributeValueMemberS{Value: s}
			want := s
			if kind == "number" {
				av, want = &types.AttributeValueMemberN{Value: s}, codec.NumberText(s)
			}
			c := keyCodec(t, kind)
			id, err := c.ID(codec.Item{"id": av})
			if err != nil {
				continue
			}
			if again, err := c.Key(id); errors.Is(err, codec.ErrKeySize) {
				continue
			} else if err != nil || codec.KeyText(again) != want {
				t.Errorf("%s %q is %v, whose key is %q, %v", kind, s, id, codec.KeyText(again), err)
			}
		}
	})
}
