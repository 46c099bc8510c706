package codec_test

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/migrate/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var usersFields = []codec.Field{{From: "name"}, {From: "email"}, {From: "password"}, {From: "bio"},
	{From: "version", Type: "int64"}, {From: "createdAt", Type: "date"}, {From: "amount", To: "price", Type: "decimal128"},
	{From: "big", Compressed: true}}

func usersCodec(t testing.TB) *codec.Codec {
	t.Helper()
	c, err := codec.New(codec.Config{Fields: usersFields, Deep: codec.DeepBinary})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wire does to an item what DynamoDB does: numbers come back rewritten, maps in
// any order, and the migration's stamps stand beside the hints.
func wire(i codec.Item) codec.Item {
	out := codec.Item{}
	for n, v := range i {
		out[n] = v
	}
	stamped := map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "7"}}
	if m, ok := i[codec.Reserved].(*types.AttributeValueMemberM); ok {
		for n, v := range m.Value {
			stamped[n] = v
		}
	}
	out[codec.Reserved] = &types.AttributeValueMemberM{Value: stamped}
	return out
}

func roundTrip(t *testing.T, c *codec.Codec, doc bson.Raw) codec.Item {
	t.Helper()
	item, err := c.Encode(doc)
	if err != nil {
		t.Fatalf("encode %x: %v", []byte(doc), err)
	}
	back, err := c.Decode(wire(item))
	if err != nil {
		t.Fatalf("decode %v of %x: %v", item, []byte(doc), err)
	}
	if !bytes.Equal(doc, back) {
		t.Fatalf("not the same:\n%x\n%x\n%v", []byte(doc), []byte(back), item)
	}
	return item
}

func TestEveryGeneratedDocumentRoundTrips(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	c := usersCodec(t)
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	for range 4000 {
		roundTrip(t, c, g.whole())
	}
}

func TestEveryKindOfValueRoundTrips(t *testing.T) {
	c := usersCodec(t)
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for kind := range kinds {
		for range 60 {
			doc := []byte{0, 0, 0, 0}
			doc = append(doc, 7)
			doc = append(doc, "_id\x00aaaaaaaaaaaa"...)
			roundTrip(t, c, seal(g.kind(doc, "x", kind, 0)))
		}
	}
}

func TestSampleDataRoundTrips(t *testing.T) {
	c := usersCodec(t)
	for _, file := range []string{"users.json", "theaters.json", "accounts.json"} {
		for _, doc := range lines(t, filepath.Join("testdata", file)) {
			item := roundTrip(t, c, doc)
			if file == "users.json" && item[codec.Reserved] != nil {
				t.Errorf("a plain user needs no hints, has %v", item[codec.Reserved])
			}
		}
	}
}

func lines(t testing.TB, file string) []bson.Raw {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var docs []bson.Raw
	for s := bufio.NewScanner(f); s.Scan(); {
		var doc bson.D
		if err := bson.UnmarshalExtJSON(s.Bytes(), true, &doc); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, marshal(t, doc))
	}
	return docs
}

func marshal(t testing.TB, v any) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var someID, _ = bson.ObjectIDFromHex("59b99db4cfa9a34dcd7885b6")

func TestAttributesAreWhatAServiceReads(t *testing.T) {
	at := time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC)
	doc := marshal(t, bson.D{{Key: "_id", Value: someID}, {Key: "name", Value: "Ned"}, {Key: "version", Value: int64(3)},
		{Key: "createdAt", Value: at}, {Key: "score", Value: 1e21}, {Key: "seen", Value: at.Add(-1e6)}})
	item := roundTrip(t, usersCodec(t), doc)
	for name, want := range map[string]string{"id": someID.Hex(), "name": "Ned", "createdAt": "2020-01-02T03:04:05.006Z", "seen": "2020-01-02T03:04:05.005Z"} {
		if got := item[name].(*types.AttributeValueMemberS).Value; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"version": "3", "score": "1000000000000000000000"} {
		if got := item[name].(*types.AttributeValueMemberN).Value; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// dsync's DynamoDB sink printed doubles with %f (so 1e-7 became 0.000000) and
// dates without their milliseconds.
func TestDsyncDoublesAndDatesKeepWhatTheyHave(t *testing.T) {
	c := usersCodec(t)
	for _, v := range []any{1e-7, 0.1 + 0.2, 1e300, 5e-324, math.Pi, bson.DateTime(1), bson.DateTime(-1), bson.DateTime(1700000000123)} {
		roundTrip(t, c, marshal(t, bson.D{{Key: "_id", Value: someID}, {Key: "v", Value: v}}))
	}
}

func nested(depth int) bson.D {
	d := bson.D{{Key: "end", Value: int64(1)}}
	for range depth - 1 {
		d = bson.D{{Key: "d", Value: d}}
	}
	return d
}

func TestDeepNestingIsRefusedOrStoredAsDeclared(t *testing.T) {
	refusing, _ := codec.New(codec.Config{})
	for depth, fits := range map[int]bool{1: true, 31: true, 32: false, 100: false} {
		doc := marshal(t, bson.D{{Key: "_id", Value: someID}, {Key: "deep", Value: nested(depth)}})
		roundTrip(t, usersCodec(t), doc)
		_, err := refusing.Encode(doc)
		if fits != (err == nil) || err != nil && !errors.Is(err, codec.ErrTooDeep) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

func TestWhatDoesNotFitIsNamed(t *testing.T) {
	c := usersCodec(t)
	long := strings.Repeat("x", 401<<10)
	for _, tc := range []struct {
		name  string
		doc   bson.D
		want  error
		parts []string
	}{
		{"too large", bson.D{{Key: "_id", Value: someID}, {Key: "small", Value: "s"}, {Key: "bio", Value: long}}, codec.ErrTooLarge,
			[]string{someID.Hex(), `"bio"`, "compressed"}},
		{"key type", bson.D{{Key: "_id", Value: "text"}}, codec.ErrKeyType, []string{"text", "string", "objectId"}},
		{"no key", bson.D{{Key: "name", Value: "x"}}, codec.ErrKeyMissing, []string{"_id"}},
	} {
		_, err := c.Encode(marshal(t, tc.doc))
		var fit *codec.FitError
		if !errors.Is(err, tc.want) || !errors.As(err, &fit) {
			t.Fatalf("%s: %v", tc.name, err)
		}
		for _, p := range tc.parts {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%s: %q does not say %q", tc.name, err, p)
			}
		}
	}
	if _, err := c.Encode([]byte{9, 0, 0, 0, 0}); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
	roundTrip(t, c, marshal(t, bson.D{{Key: "_id", Value: someID}, {Key: "big", Value: long}}))
}

func TestKeysOfEveryDeclaredType(t *testing.T) {
	uuid := bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}
	for kind, id := range map[string]any{"string": "a", "objectId": someID, "int32": int32(-4), "int64": int64(1) << 60, "uuid": uuid} {
		c, err := codec.New(codec.Config{Key: codec.Key{Attribute: "pk", Type: kind}})
		if err != nil {
			t.Fatal(err)
		}
		item := roundTrip(t, c, marshal(t, bson.D{{Key: "pk", Value: "mine"}, {Key: "_id", Value: id}}))
		back, err := c.ID(codec.Item{"pk": item["pk"]})
		if err != nil || !back.Equal(bson.RawValue{Type: back.Type, Value: back.Value}) || back.IsZero() {
			t.Errorf("%s: %v %v", kind, back, err)
		}
	}
	c, _ := codec.New(codec.Config{Key: codec.Key{Type: "string"}})
	for _, id := range []string{"", strings.Repeat("k", 2049)} {
		if _, err := c.Encode(marshal(t, bson.D{{Key: "_id", Value: id}})); !errors.Is(err, codec.ErrKeySize) {
			t.Errorf("key of %d bytes: %v", len(id), err)
		}
	}
}

func TestAChangedAttributeMakesAHintFailAloud(t *testing.T) {
	c := usersCodec(t)
	item, _ := c.Encode(marshal(t, bson.D{{Key: "_id", Value: someID}, {Key: "n", Value: 2.0}}))
	item["n"] = &types.AttributeValueMemberS{Value: "two"}
	if _, err := c.Decode(item); !errors.Is(err, codec.ErrHint) {
		t.Errorf("changed: %v", err)
	}
	delete(item, "n")
	if _, err := c.Decode(item); !errors.Is(err, codec.ErrHint) {
		t.Errorf("gone: %v", err)
	}
}

func TestSizeCountsAsDynamoDBDoes(t *testing.T) {
	s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	item := codec.Item{"id": s("abc"), "b": &types.AttributeValueMemberBOOL{}, "l": &types.AttributeValueMemberL{Value: []types.AttributeValue{s("x")}},
		"m": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"k": s("vv")}}}
	if got, want := codec.Size(item), 5+2+(1+3+1+1)+(1+3+1+1+2); got != want {
		t.Errorf("size %d, want %d", got, want)
	}
}

func TestConfigErrorsNameTheSetting(t *testing.T) {
	for want, cfg := range map[string]codec.Config{
		"key type":   {Key: codec.Key{Type: "double"}},
		"shorter":    {Key: codec.Key{Attribute: strings.Repeat("k", 256)}},
		"reserved":   {Fields: []codec.Field{{From: "a", To: "_banyan"}}},
		"taken":      {Fields: []codec.Field{{From: "a", To: "id"}}},
		"twice":      {Fields: []codec.Field{{From: "a"}, {From: "a", To: "b"}}},
		"unknown":    {Fields: []codec.Field{{From: "a", Type: "text"}}},
		"deep":       {Deep: "drop"},
		"other than": {Fields: []codec.Field{{From: "_id", To: "b"}}},
	} {
		if _, err := codec.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzEncode(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	for range 50 {
		f.Add([]byte(g.whole()))
	}
	c := usersCodec(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		item, err := c.Encode(doc)
		if err != nil {
			return
		}
		back, err := c.Decode(wire(item))
		if err != nil || !bytes.Equal(doc, back) {
			t.Fatalf("%x became %x (%v)", doc, []byte(back), err)
		}
	})
}

// FuzzDecode builds items out of bytes, as a service or another program might write
// them: whatever decodes must encode to the same item again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x00name\x01x"), "/name", "date")
	f.Add([]byte("\x011.50\x02-0\x013"), "/0", "decimal128:-2")
	f.Add([]byte("\x04abc\x05l\x06\x01"), "/", "order:1,0")
	c := usersCodec(f)
	f.Fuzz(func(t *testing.T, b []byte, path, hint string) {
		item := codec.Item{"id": &types.AttributeValueMemberS{Value: someID.Hex()}}
		rest := b
		for i := 0; len(rest) > 0 && i < 20; i++ {
			var name string
			if name, rest = token(rest); name == "id" || name == "" || name == codec.Reserved {
				continue
			}
			item[name], rest = attribute(rest, 0)
		}
		if path != "" {
			item[codec.Reserved] = &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
				"h": &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{path: &types.AttributeValueMemberS{Value: hint}}}}}
		}
		doc, err := c.Decode(item)
		if err != nil {
			return
		}
		again, err := c.Encode(doc)
		if err != nil {
			var fit *codec.FitError
			if !errors.As(err, &fit) {
				t.Fatal(err)
			}
			return
		}
		back, err := c.Decode(again)
		if err != nil || !bytes.Equal(back, doc) {
			t.Fatalf("%v decoded to %x, then %x (%v)", item, []byte(doc), []byte(back), err)
		}
	})
}

func token(b []byte) (string, []byte) {
	n := min(1+int(b[0])%5, len(b))
	return strings.ToValidUTF8(string(b[1:n]), "?"), b[n:]
}

func attribute(b []byte, depth int) (types.AttributeValue, []byte) {
	if len(b) == 0 {
		return &types.AttributeValueMemberNULL{Value: true}, nil
	}
	kind := b[0] % 7
	switch {
	case kind >= 5 && depth > 8:
		return &types.AttributeValueMemberBOOL{Value: true}, b[1:]
	case kind == 5:
		v, rest := attribute(b[1:], depth+1)
		return &types.AttributeValueMemberL{Value: []types.AttributeValue{v}}, rest
	case kind == 6:
		name, rest := token(b)
		v, rest := attribute(rest, depth+1)
		return &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{name: v}}, rest
	}
	s, rest := token(b)
	return map[byte]types.AttributeValue{0: &types.AttributeValueMemberS{Value: s}, 1: &types.AttributeValueMemberN{Value: s},
		2: &types.AttributeValueMemberB{Value: []byte(s)}, 3: &types.AttributeValueMemberBOOL{}, 4: &types.AttributeValueMemberNULL{Value: true}}[kind], rest
}

func BenchmarkEncodeUser(b *testing.B) {
	c := usersCodec(b)
	docs := lines(b, "testdata/users.json")
	for i := 0; b.Loop(); i++ {
		if _, err := c.Encode(docs[i%len(docs)]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestShowIsText of whole characters, however long the identifier is.
func TestShowIsText(t *testing.T) {
	for n := range 4 {
		_, value, err := bson.MarshalValue(strings.Repeat("x", n) + strings.Repeat("長", 1000))
		if err != nil {
			t.Fatal(err)
		}
		got := codec.Show(bson.RawValue{Type: bson.TypeString, Value: value})
		if !utf8.ValidString(got) || !strings.HasSuffix(got, "長...") || len(got) > 203 {
			t.Errorf("%q", got)
		}
	}
}
