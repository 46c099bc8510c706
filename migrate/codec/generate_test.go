package codec_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// generator makes documents of every BSON type, the odd corners first.
type generator struct{ *rand.Rand }

var oddNames = []string{"", "$set", "a.b", "a/b", "a~1b", "*", "_banyan", "_banyan_", "_banyan_h", "id", "name", "createdAt",
	"version", "amount", "ünï", "0", "1", "x", "y", "z", "big"}

var oddDoubles = []float64{0, math.Copysign(0, -1), 1, -1, 1.5, 0.1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64,
	math.SmallestNonzeroFloat64, 1e100, 1e125, 9.99e125, 1e126, 1e-130, 1e-131, 1 << 53, 1e22, 123456789012345680000}

var oddDates = []int64{0, -1, 1, 1234567890123, -62135596800000, -62167219200000, -62167219200001, 253402300799999,
	253402300800000, math.MaxInt64, math.MinInt64}

var oddDecimals = []string{"0", "-0", "0E-3", "0E+5", "1", "1.0", "1.00", "-1.50", "1E+3", "1E-130", "1E-6176", "9.999999999999999999999999999999999E+6144",
	"NaN", "Infinity", "-Infinity", "1234567890123456789012345678901234", "0.1234567890123456789012345678901234", "1E+125", "1E+126", "12E+124"}

func (g generator) document(depth int) []byte {
	doc := []byte{0, 0, 0, 0}
	for range g.IntN(7) {
		doc = g.element(doc, oddNames[g.IntN(len(oddNames))], depth)
	}
	return seal(doc)
}

func seal(doc []byte) []byte {
	doc = append(doc, 0)
	binary.LittleEndian.PutUint32(doc, uint32(len(doc)))
	return doc
}

func (g generator) array(depth int) []byte {
	doc := []byte{0, 0, 0, 0}
	same := g.IntN(2) == 0
	kind := g.IntN(kinds)
	for i := range g.IntN(5) {
		if !same {
			kind = g.IntN(kinds)
		}
		doc = g.kind(doc, strconv.Itoa(i), kind, depth)
	}
	return seal(doc)
}

func (g generator) element(dst []byte, name string, depth int) []byte {
	return g.kind(dst, name, g.IntN(kinds), depth)
}

const kinds = 24

func (g generator) kind(dst []byte, name string, kind, depth int) []byte {
	switch kind {
	case 0:
		return bsoncore.AppendInt32Element(dst, name, int32(g.Uint32()))
	case 1:
		return bsoncore.AppendInt64Element(dst, name, int64(g.Uint64()>>g.IntN(64)))
	case 2:
		return bsoncore.AppendDoubleElement(dst, name, oddDoubles[g.IntN(len(oddDoubles))])
	case 3:
		return bsoncore.AppendDoubleElement(dst, name, math.Float64frombits(g.Uint64()))
	case 4:
		d, _ := bson.ParseDecimal128(oddDecimals[g.IntN(len(oddDecimals))])
		h, l := d.GetBytes()
		return bsoncore.AppendDecimal128Element(dst, name, h, l)
	case 5:
		return bsoncore.AppendDecimal128Element(dst, name, g.Uint64(), g.Uint64())
	case 6:
		return bsoncore.AppendObjectIDElement(dst, name, bson.NewObjectID())
	case 7:
		return bsoncore.AppendDateTimeElement(dst, name, oddDates[g.IntN(len(oddDates))])
	case 8:
		return bsoncore.AppendBinaryElement(dst, name, byte(g.IntN(10)), g.bytes(20))
	case 9:
		return bsoncore.AppendBinaryElement(dst, name, 4, []byte("0123456789abcdef"))
	case 10:
		return bsoncore.AppendTimestampElement(dst, name, g.Uint32(), g.Uint32())
	case 11:
		return bsoncore.AppendRegexElement(dst, name, "^/a|b/$", []string{"", "i", "a/b"}[g.IntN(3)])
	case 12:
		return bsoncore.AppendMinKeyElement(dst, name)
	case 13:
		return bsoncore.AppendMaxKeyElement(dst, name)
	case 14:
		return bsoncore.AppendNullElement(dst, name)
	case 15:
		return bsoncore.AppendUndefinedElement(dst, name)
	case 16:
		return bsoncore.AppendStringElement(dst, name, []string{"", "text", "a\x00b", "\xff\xfe", "2020-01-02T03:04:05.678Z",
			"59b99db4cfa9a34dcd7885b6", "NaN", "7"}[g.IntN(8)])
	case 17:
		return bsoncore.AppendJavaScriptElement(dst, name, "f()")
	case 18:
		return bsoncore.AppendSymbolElement(dst, name, "sym")
	case 19:
		return bsoncore.AppendCodeWithScopeElement(dst, name, "f", g.document(9))
	case 20:
		return bsoncore.AppendDBPointerElement(dst, name, "db.c", bson.NewObjectID())
	case 21:
		return bsoncore.AppendBooleanElement(dst, name, g.IntN(2) == 0)
	case 22:
		if depth < 5 {
			return bsoncore.AppendDocumentElement(dst, name, g.document(depth+1))
		}
	case 23:
		if depth < 5 {
			return bsoncore.AppendArrayElement(dst, name, g.array(depth+1))
		}
	}
	return bsoncore.AppendNullElement(dst, name)
}

func (g generator) bytes(most int) []byte {
	b := make([]byte, g.IntN(most+1))
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

// whole makes a document with its _id at a random place.
func (g generator) whole() bson.Raw {
	doc := []byte{0, 0, 0, 0}
	n := g.IntN(8)
	at := g.IntN(n + 1)
	for i := 0; i <= n; i++ {
		if i == at {
			doc = bsoncore.AppendObjectIDElement(doc, "_id", bson.NewObjectID())
		}
		if i < n {
			doc = g.element(doc, oddNames[g.IntN(len(oddNames))], 0)
		}
	}
	return seal(doc)
}
