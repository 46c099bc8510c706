package extjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/services/entity/gateway/extjson"
)

var declared = map[string]string{
	"s": codec.TypeString, "o": codec.TypeObjectID, "t": codec.TypeDate, "i": codec.TypeInt32, "l": codec.TypeInt64, "d": codec.TypeDouble,
	"m": codec.TypeDecimal, "b": codec.TypeBool, "x": codec.TypeBinary, "u": codec.TypeUUID,
	"ts": codec.TypeTimestamp, "c": codec.TypeDocument, "a": codec.TypeArray,
}

func marshal(t testing.TB, v any) bson.Raw {
	t.Helper()
	b, err := bson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decimal(s string) bson.Decimal128 {
	d, _ := bson.ParseDecimal128(s)
	return d
}

// TestForms: how values look, declared and not, and that each form is read as what it was.
func TestForms(t *testing.T) {
	id, _ := bson.ObjectIDFromHex("5f0000000000000000000001")
	uid := bson.Binary{Subtype: 4, Data: []byte("0123456789abcdef")}
	at := bson.NewDateTimeFromTime(time.UnixMilli(1600000000123))
	for _, c := range []struct {
		name            string
		v               any
		want, canonical string
	}{
		{"s", "a<b", `"a<b"`, `"a<b"`}, {"n", "x", `"x"`, `"x"`}, {"t", "2020-01-01T00:00:00.000Z", `{"$string":"2020-01-01T00:00:00.000Z"}`, `"2020-01-01T00:00:00.000Z"`},
		{"i", "1", `{"$string":"1"}`, `"1"`}, {"o", id, `"5f0000000000000000000001"`, `{"$oid":"5f0000000000000000000001"}`},
		{"n", id, `{"$oid":"5f0000000000000000000001"}`, `{"$oid":"5f0000000000000000000001"}`},
		{"t", at, `"2020-09-13T12:26:40.123Z"`, `{"$date":{"$numberLong":"1600000000123"}}`},
		{"n", at, `{"$date":"2020-09-13T12:26:40.123Z"}`, `{"$date":{"$numberLong":"1600000000123"}}`},
		{"t", bson.DateTime(math.MaxInt64), `{"$date":{"$numberLong":"9223372036854775807"}}`, `{"$date":{"$numberLong":"9223372036854775807"}}`},
		{"i", int32(5), `5`, `{"$numberInt":"5"}`}, {"n", int32(5), `5`, `{"$numberInt":"5"}`}, {"l", int32(5), `{"$numberInt":"5"}`, `{"$numberInt":"5"}`},
		{"l", int64(5), `5`, `{"$numberLong":"5"}`}, {"n", int64(5), `{"$numberLong":"5"}`, `{"$numberLong":"5"}`},
		{"l", int64(1 << 53), `{"$numberLong":"9007199254740992"}`, `{"$numberLong":"9007199254740992"}`},
		{"d", 5.0, `5`, `{"$numberDouble":"5.0"}`}, {"n", 5.0, `{"$numberDouble":"5.0"}`, `{"$numberDouble":"5.0"}`}, {"n", 0.5, `0.5`, `{"$numberDouble":"0.5"}`},
		{"i", 0.5, `{"$numberDouble":"0.5"}`, `{"$numberDouble":"0.5"}`}, {"n", math.Inf(-1), `{"$numberDouble":"-Infinity"}`, `{"$numberDouble":"-Infinity"}`},
		{"d", math.Inf(-1), `{"$numberDouble":"-Infinity"}`, `{"$numberDouble":"-Infinity"}`}, {"d", 1e300, `1e+300`, `{"$numberDouble":"1E+300"}`},
		{"m", decimal("1.50"), `"1.50"`, `{"$numberDecimal":"1.50"}`}, {"n", decimal("1.50"), `{"$numberDecimal":"1.50"}`, `{"$numberDecimal":"1.50"}`},
		{"b", true, `true`, `true`}, {"n", nil, `null`, `null`}, {"t", nil, `null`, `null`}, {"t", true, `true`, `true`},
		{"x", bson.Binary{Data: []byte{1, 255}}, `"Af8="`, `{"$binary":{"base64":"Af8=","subType":"00"}}`},
		{"x", uid, `{"$binary":{"base64":"MDEyMzQ1Njc4OWFiY2RlZg==","subType":"04"}}`, `{"$binary":{"base64":"MDEyMzQ1Njc4OWFiY2RlZg==","subType":"04"}}`},
		{"u", uid, `"30313233-3435-3637-3839-616263646566"`, `{"$binary":{"base64":"MDEyMzQ1Njc4OWFiY2RlZg==","subType":"04"}}`},
		{"ts", bson.Timestamp{T: 1, I: 2}, `{"$timestamp":{"t":1,"i":2}}`, `{"$timestamp":{"t":1,"i":2}}`},
		{"c", bson.D{{Key: "n", Value: int64(1)}}, `{"n":{"$numberLong":"1"}}`, `{"n":{"$numberLong":"1"}}`},
		{"a", bson.A{int32(1), "x", bson.A{}}, `[1,"x",[]]`, `[{"$numberInt":"1"},"x",[]]`},
		{"n", bson.D{{Key: "$set", Value: "x"}}, `{"$document":{"$set":"x"}}`, `{"$document":{"$set":"x"}}`},
		{"n", bson.D{{Key: "$numberLong", Value: "x"}}, `{"$document":{"$numberLong":"x"}}`, `{"$document":{"$numberLong":"x"}}`},
		{"n", bson.D{{Key: "$document", Value: bson.D{}}}, `{"$document":{"$document":{}}}`, ``},
		{"n", bson.D{{Key: "$ref", Value: "c"}, {Key: "$id", Value: id}, {Key: "extra", Value: "x"}}, `{"$ref":"c","$id":{"$oid":"5f0000000000000000000001"},"extra":"x"}`, ``},
		{"n", bson.Regex{Pattern: "a/b", Options: "i"}, `{"$regularExpression":{"pattern":"a/b","options":"i"}}`, ``},
		{"n", bson.MinKey{}, `{"$minKey":1}`, ``},
	} {
		for form, want := range map[*extjson.Form]string{{Types: declared}: c.want, {Canonical: true}: c.canonical} {
			doc := marshal(t, bson.D{{Key: c.name, Value: c.v}})
			text, err := form.Append(nil, doc)
			if want = `{"` + c.name + `":` + want + `}`; err != nil || string(text) != want && c.canonical != "" {
				t.Errorf("%s %v: %s, %v; want %s", c.name, c.v, text, err, want)
			}
			if back, err := form.Parse(text); err != nil || !bytes.Equal(back, doc) {
				t.Errorf("%s is read as %v: %v", text, back, err)
			}
		}
	}
}

// TestRefused: what is no document, or would be another one than it seems, is refused with a reason.
func TestRefused(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 100) + `[]` + strings.Repeat(`}`, 100)
	for text, says := range map[string]string{
		``: "unexpected end", `[]`: "one object", `null`: "one object", `{"a":1`: "unexpected end", `{"a":1}{}`: "after top-level", `{"a":1,}`: "invalid character",
		`{"n":1,"n":2}`: `"n" is there twice`, `{"c":{"a":1,"\u0061":2}}`: `"a" is there twice`, deep: "deeper than 100", "{\"a\":\"\xff\"}": "UTF-8",
		`{"n":1e400}`: "no double", `{"n":9223372036854775808}`: "no int64", `{"i":2147483648}`: "no int32", `{"i":1.5}`: "no int32",
		`{"l":1.0}`: "no int64", `{"s":1}`: "declared as string", `{"t":"yesterday"}`: "no date", `{"t":1}`: "declared as date",
		`{"o":"5f"}`: "no objectId", `{"u":"30313233343536373839616263646566"}`: "no uuid", `{"m":"1,5"}`: "no decimal128", `{"m":"1.` + strings.Repeat("0", 1<<20) + `"}`: "no decimal128", `{"n":{"$numberDecimal":"1.` + strings.Repeat("0", 1<<20) + `"}}`: "no decimal128", `{"x":"A"}`: "no binary", `{"b":"true"}`: "declared as bool",
		`{"a":{"$gt":1}}`: "no Extended JSON", `{"a":{"$numberLong":5}}`: "64-bit integer", `{"a":{"$numberLong":"5","b":1}}`: "$numberLong", `{"a":{"b":1,"$oid":"5f0000000000000000000001"}}`: "no Extended JSON",
		`{"a\u0000b":1}`: "zero byte", `{"a":{"$regularExpression":{"pattern":"a\u0000b","options":""}}}`: "zero byte", `{"a":{"$document":1}}`: "no Extended JSON", `{"$oid":"5f0000000000000000000001"}`: "must be one object",
		`{"$set":{"a":1}}`: "no Extended JSON", `{"a":{"$string":1}}`: "no Extended JSON", `{"a":{"$ref":"c"}}`: "no Extended JSON",
	} {
		doc, err := extjson.Form{Types: declared}.Parse([]byte(text))
		if !errors.Is(err, extjson.ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.100s is %v: %v, want %q", text, doc, err, says)
		}
	}
	if _, err := (extjson.Form{}).Append(nil, marshal(t, bson.D{{Key: "a", Value: "\xff"}})); !errors.Is(err, extjson.ErrInvalid) {
		t.Errorf("a text that is not UTF-8 was written: %v", err)
	}
}

func TestParseField(t *testing.T) {
	id, _ := bson.ObjectIDFromHex("5f0000000000000000000001")
	for _, c := range []struct {
		name, text string
		want       any // nil: refused
	}{
		{"s", `5`, "5"}, {"s", `"5"`, `"5"`}, {"n", "5", int32(5)}, {"n", "ada", "ada"}, {"n", `"5"`, "5"}, {"o", "5f0000000000000000000001", id},
		{"l", "5", int64(5)}, {"l", "x", nil}, {"t", "2020-09-13T12:26:40.123Z", bson.DateTime(1600000000123)}, {"m", "1.50", decimal("1.50")},
		{"t", `{"$string":"x"}`, "x"}, {"n", `{"$numberLong":"5"}`, int64(5)}, {"d", "5", 5.0}, {"b", "true", true}, {"b", "yes", nil}, {"n", `{"a":1}`, bson.D{{Key: "a", Value: int32(1)}}},
	} {
		v, err := extjson.Form{Types: declared}.ParseField(c.name, c.text)
		if c.want == nil {
			if !errors.Is(err, extjson.ErrInvalid) {
				t.Errorf("%s=%s is %v: %v", c.name, c.text, v, err)
			}
			continue
		}
		if want := marshal(t, bson.D{{Key: "v", Value: c.want}}).Lookup("v"); err != nil || !v.Equal(want) {
			t.Errorf("%s=%s is %v: %v, want %v", c.name, c.text, v, err, want)
		}
	}
}

// anyValue makes a value of every type, nested up to a depth.
func anyValue(r *rand.Rand, depth int) any {
	texts := []string{"", "a", "5", "5f0000000000000000000001", "2020-01-01T00:00:00.000Z", "$oid", "\x00\u2028<é😀",
		"30313233-3435-3637-3839-616263646566", "AA==", "NaN"}
	numbers := []int64{0, 1, -1, math.MaxInt32, math.MinInt32, 1 << 31, 1<<53 - 1, 1 << 53, math.MaxInt64, math.MinInt64}
	text := texts[r.IntN(len(texts))]
	n := numbers[r.IntN(len(numbers))]
	kinds := 19
	if depth > 0 {
		kinds = 22
	}
	switch r.IntN(kinds) {
	case 0:
		return int32(n)
	case 1:
		return n
	case 2:
		return float64(n)
	case 3:
		return []float64{0.5, -1e-300, 1e300, math.Inf(1), math.Copysign(0, -1), math.Pi, math.NaN()}[r.IntN(7)]
	case 4:
		return []bson.Decimal128{decimal("1.50"), decimal("-0E+3"), decimal("NaN"), decimal("Infinity"), decimal("1E-6176")}[r.IntN(5)]
	case 5:
		return bson.DateTime(n)
	case 6:
		return bson.DateTime(r.Int64N(1 << 42))
	case 7:
		return bson.NewObjectID()
	case 8:
		return bson.Binary{Subtype: []byte{0, 3, 4, 5, 128}[r.IntN(5)], Data: []byte("0123456789abcdef")[:r.IntN(2)*16]}
	case 9:
		return r.IntN(2) == 0
	case 10:
		return nil
	case 11:
		return bson.Timestamp{T: uint32(n), I: 7}
	case 12:
		return bson.Regex{Pattern: "a\"/$", Options: "im"}
	case 13:
		return bson.JavaScript("f()")
	case 14:
		return bson.CodeWithScope{Code: "f()", Scope: bson.D{{Key: "a", Value: n}}}
	case 15:
		return bson.Symbol("s")
	case 16:
		return []any{bson.MinKey{}, bson.MaxKey{}, bson.Undefined{}}[r.IntN(3)]
	case 17:
		return bson.DBPointer{DB: "c", Pointer: bson.NewObjectID()}
	case 18:
		return text
	case 19:
		return bson.A{anyValue(r, depth-1), anyValue(r, depth-1)}
	}
	names := []string{"a", "", "b.c", "$ref", "$id", "$db", "$numberLong", "$oid", "$document", "$string", "$date", "$gt"}
	doc := bson.D{}
	for _, i := range r.Perm(len(names))[:r.IntN(4)] {
		doc = append(doc, bson.E{Key: names[i], Value: anyValue(r, depth-1)})
	}
	return doc
}

func anyDocument(r *rand.Rand) bson.D {
	doc := bson.D{}
	for name := range declared {
		if r.IntN(3) == 0 {
			doc = append(doc, bson.E{Key: name, Value: anyValue(r, 3)})
		}
	}
	return append(doc, bson.E{Key: "n", Value: anyValue(r, 4)})
}

// mustComeBack: a document is the same, to the byte, after it was written and read; also where
// whoever reads it in between has one kind of number.
func mustComeBack(t *testing.T, doc bson.Raw) {
	t.Helper()
	for _, form := range []extjson.Form{{}, {Types: declared}, {Canonical: true}} {
		text, err := form.Append(nil, doc)
		if err != nil {
			t.Fatalf("%v: %v", doc, err)
		}
		if back, err := form.Parse(text); err != nil || !bytes.Equal(back, doc) {
			t.Fatalf("%v is written as %s, which is read as %v: %v", doc, text, back, err)
		}
		again := asInJavaScript(t, text)
		if back, err := form.Parse(again); err != nil || !bytes.Equal(back, doc) {
			t.Fatalf("%v: a program made %s of it, which is read as %v: %v", doc, again, back, err)
		}
	}
}

// asInJavaScript is a text as a program writes it that has one kind of number, a double.
func asInJavaScript(t *testing.T, text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out []byte
	from := 0
	for {
		token, err := d.Token()
		if err != nil {
			return append(out, text[from:]...)
		}
		n, ok := token.(json.Number)
		if !ok {
			continue
		}
		f, err := n.Float64()
		if err != nil {
			t.Fatal(err)
		}
		number, err := json.Marshal(f) // as ECMAScript does
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, text[from:int(d.InputOffset())-len(n)]...), number...)
		from = int(d.InputOffset())
	}
}

func TestWhatIsReadCanBeWrittenBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		mustComeBack(t, marshal(t, anyDocument(r)))
	}
	t.Logf("seed %d", seed)
}

// FuzzParse: what is taken is a document, which comes back from its own text.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":1.5,"t":"2020-01-01T00:00:00Z","l":5}`, `{"n":{"$document":{"$a":{"$oid":"5f0000000000000000000001"}}}}`,
		`{"n":{"$code":"x","$scope":{"a":1}}}`, `{"n":{"$regularExpression":{"pattern":"a","options":"i"}}}`, `{"$document":{"$a":[1e5,{"$ref":"a","$id":1}]}}`,
		`{"m":"1E5","u":"30313233-3435-3637-3839-616263646566","n":{"$binary":"AA==","$type":"00"}}`, `{"n":{"$date":"2020-01-01T00:00:00+01:00"}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		form := extjson.Form{Types: declared}
		doc, err := form.Parse([]byte(text))
		if err != nil {
			if !errors.Is(err, extjson.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		if err := doc.Validate(); err != nil {
			t.Fatalf("%s is read as %v: %v", text, doc, err)
		}
		again, err := form.Append(nil, doc)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if back, err := form.Parse(again); err != nil && !strings.Contains(err.Error(), "deeper") || err == nil && !bytes.Equal(back, doc) {
			t.Fatalf("%s is read as %v, written as %s, and that read as %v: %v", text, doc, again, back, err)
		}
	})
}
