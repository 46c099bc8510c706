package codec

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// Names of BSON types as plans and hints use them.
const (
	TypeString    = "string"
	TypeObjectID  = "objectId"
	TypeDate      = "date"
	TypeInt32     = "int32"
	TypeInt64     = "int64"
	TypeDouble    = "double"
	TypeDecimal   = "decimal128"
	TypeBool      = "bool"
	TypeBinary    = "binary"
	TypeUUID      = "uuid" // binary subtype 4, as its 36-character text
	TypeTimestamp = "timestamp"
	TypeNull      = "null"
	TypeUndefined = "undefined"
	TypeRegex     = "regex"
	TypeCode      = "javascript"
	TypeSymbol    = "symbol"
	TypeMinKey    = "minKey"
	TypeMaxKey    = "maxKey"
	TypeDocument  = "document"
	TypeArray     = "array"
	// typeRaw: the value's BSON type byte and its bytes, as binary.
	typeRaw = "raw"
	// typeDeflated: as typeRaw, compressed.
	typeDeflated = "deflated"
	// typeNegativeZero: the double -0.0, whose sign a DynamoDB number loses.
	typeNegativeZero = "double-0"
)

var fieldTypes = map[string]bool{TypeString: true, TypeObjectID: true, TypeDate: true, TypeInt32: true, TypeInt64: true,
	TypeDouble: true, TypeDecimal: true, TypeBool: true, TypeBinary: true, TypeUUID: true, TypeTimestamp: true,
	TypeDocument: true, TypeArray: true}

// dateText is RFC 3339 in UTC with milliseconds, always: without them, dates
// that differ would compare equal and text order would not be time order.
const dateText = "2006-01-02T15:04:05.000Z"

// TypeName is the plan's name of a BSON type.
func TypeName(t bson.Type) string {
	if t == bson.TypeEmbeddedDocument {
		return TypeDocument
	}
	return t.String()
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
func bin(b []byte) types.AttributeValue {
	return &types.AttributeValueMemberB{Value: append([]byte{}, b...)}
}

// Scalar is the attribute value of a value that is neither a document nor an array, and the
// type that it stands for.
func Scalar(v bson.RawValue) (av types.AttributeValue, kind string, err error) {
	if v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray {
		return nil, "", fmt.Errorf("%w: %s", ErrAttribute, TypeName(v.Type))
	}
	return encodeScalar(v)
}

// encodeScalar returns the attribute of a value that contains no others, and
// the code under which appendScalar gives the same bytes back. What has no
// faithful form of its own becomes typeRaw.
func encodeScalar(v bson.RawValue) (types.AttributeValue, string, error) {
	av, code := faithful(v)
	if av != nil {
		var buffer [64]byte // of most, so that reading back allocates nothing
		if t, back, err := appendScalar(buffer[:0], av, code); err == nil && t == v.Type && bytes.Equal(back, v.Value) {
			return av, code, nil
		}
	}
	if !whole(v) {
		return nil, "", ErrMalformed
	}
	return bin(append([]byte{byte(v.Type)}, v.Value...)), typeRaw, nil
}

// whole reports whether the value's bytes are as long as its type says.
func whole(v bson.RawValue) bool {
	rv := bsoncore.Value{Type: bsoncore.Type(v.Type), Data: v.Value}
	return rv.Validate() == nil
}

// faithful picks the readable form of a value, nil where there is none.
func faithful(v bson.RawValue) (types.AttributeValue, string) {
	switch v.Type {
	case bson.TypeString:
		return text(v.StringValueOK())(TypeString)
	case bson.TypeJavaScript:
		return text(v.JavaScriptOK())(TypeCode)
	case bson.TypeSymbol:
		return text(v.SymbolOK())(TypeSymbol)
	case bson.TypeObjectID:
		if len(v.Value) == 12 {
			return str(hex.EncodeToString(v.Value)), TypeObjectID
		}
	case bson.TypeInt32:
		if i, ok := v.Int32OK(); ok {
			return num(strconv.FormatInt(int64(i), 10)), TypeInt32
		}
	case bson.TypeInt64:
		if i, ok := v.Int64OK(); ok {
			return num(strconv.FormatInt(i, 10)), TypeInt64
		}
	case bson.TypeDouble:
		if f, ok := v.DoubleOK(); ok {
			return encodeDouble(f)
		}
	case bson.TypeDecimal128:
		if d, ok := v.Decimal128OK(); ok {
			return encodeDecimal(d)
		}
	case bson.TypeDateTime:
		if len(v.Value) == 8 {
			return encodeDate(int64(binary.LittleEndian.Uint64(v.Value)))
		}
	case bson.TypeBoolean:
		return &types.AttributeValueMemberBOOL{Value: len(v.Value) == 1 && v.Value[0] == 1}, TypeBool
	case bson.TypeTimestamp:
		if t, i, ok := v.TimestampOK(); ok {
			return num(strconv.FormatUint(uint64(t)<<32|uint64(i), 10)), TypeTimestamp
		}
	case bson.TypeBinary:
		return encodeBinary(v.Value)
	case bson.TypeRegex:
		if p, o, ok := v.RegexOK(); ok && utf8.ValidString(p) && utf8.ValidString(o) {
			return str("/" + p + "/" + o), TypeRegex
		}
	default:
		if code, ok := valueless[v.Type]; ok {
			return &types.AttributeValueMemberNULL{Value: true}, code
		}
	}
	return nil, ""
}

var valueless = map[bson.Type]string{bson.TypeNull: TypeNull, bson.TypeUndefined: TypeUndefined,
	bson.TypeMinKey: TypeMinKey, bson.TypeMaxKey: TypeMaxKey}

func text(s string, ok bool) func(code string) (types.AttributeValue, string) {
	return func(code string) (types.AttributeValue, string) {
		if !ok || !utf8.ValidString(s) {
			return nil, ""
		}
		return str(s), code
	}
}

func encodeDouble(f float64) (types.AttributeValue, string) {
	switch {
	case f == 0 && math.Signbit(f):
		return num("0"), typeNegativeZero
	case math.IsNaN(f):
		return str("NaN"), TypeDouble
	case math.IsInf(f, 0):
		return str(map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]), TypeDouble
	}
	if n := doubleNumber(f); n.storable() {
		return num(n.String()), TypeDouble
	}
	return str(strconv.FormatFloat(f, 'E', -1, 64)), TypeDouble
}

func encodeDecimal(d bson.Decimal128) (types.AttributeValue, string) {
	coefficient, exp, err := d.BigInt()
	if err != nil { // NaN and the infinities
		return str(d.String()), TypeDecimal
	}
	n, ok := parseNumber(coefficient.String() + "E" + strconv.Itoa(exp))
	if !ok || !n.storable() {
		return str(d.String()), TypeDecimal
	}
	if n.exp == exp || n.digits == "" && exp == 0 {
		return num(n.String()), TypeDecimal
	}
	return num(n.String()), TypeDecimal + ":" + strconv.Itoa(exp)
}

func encodeDate(ms int64) (types.AttributeValue, string) {
	t := time.UnixMilli(ms).UTC()
	if t.Year() >= 0 && t.Year() <= 9999 {
		return str(t.Format(dateText)), TypeDate
	}
	return num(strconv.FormatInt(ms, 10)), TypeDate
}

func encodeBinary(v []byte) (types.AttributeValue, string) {
	if len(v) < 5 {
		return nil, ""
	}
	subtype, data := v[4], v[5:]
	if subtype == 4 && len(data) == 16 {
		h := hex.EncodeToString(data)
		return str(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]), TypeUUID
	}
	if subtype == 0 {
		return bin(data), TypeBinary
	}
	return bin(data), TypeBinary + ":" + strconv.Itoa(int(subtype))
}

// natural is the code under which an attribute is read when it has no hint.
func natural(av types.AttributeValue, declared Field) string {
	switch v := av.(type) {
	case *types.AttributeValueMemberM:
		return TypeDocument
	case *types.AttributeValueMemberL:
		return TypeArray
	case *types.AttributeValueMemberNULL:
		return TypeNull
	case *types.AttributeValueMemberBOOL:
		return TypeBool
	case *types.AttributeValueMemberB:
		if declared.Compressed {
			return typeDeflated
		}
		return TypeBinary
	case *types.AttributeValueMemberS:
		if declared.Type == "" || declared.Type == TypeString {
			return TypeString
		}
		if _, _, err := appendScalar(nil, av, declared.Type); err == nil {
			return declared.Type
		}
		return TypeString
	case *types.AttributeValueMemberN:
		if declared.Type != "" {
			if _, _, err := appendScalar(nil, av, declared.Type); err == nil {
				return declared.Type
			}
		}
		if n, ok := parseNumber(v.Value); ok {
			return n.natural()
		}
	}
	return ""
}

// appendScalar appends to dst the BSON value that av stands for under code.
func appendScalar(dst []byte, av types.AttributeValue, code string) (bson.Type, []byte, error) {
	kind, param, _ := strings.Cut(code, ":")
	switch v := av.(type) {
	case *types.AttributeValueMemberS:
		return appendText(dst, v.Value, kind)
	case *types.AttributeValueMemberN:
		return appendNumber(dst, v.Value, kind, param)
	case *types.AttributeValueMemberB:
		return appendBinary(dst, v.Value, kind, param)
	case *types.AttributeValueMemberBOOL:
		if kind == TypeBool {
			return bson.TypeBoolean, bsoncore.AppendBoolean(dst, v.Value), nil
		}
	case *types.AttributeValueMemberNULL:
		for t, name := range valueless {
			if name == kind {
				return t, dst, nil
			}
		}
	default:
		return 0, nil, fmt.Errorf("%w: %T", ErrAttribute, av)
	}
	return 0, nil, misfit(code, av)
}

func misfit(code string, av types.AttributeValue) error {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", av), "*types.AttributeValueMember")
	return fmt.Errorf("%w: %q on an attribute of kind %s", ErrHint, code, kind)
}

func appendText(dst []byte, s, kind string) (bson.Type, []byte, error) {
	switch kind {
	case TypeString:
		return bson.TypeString, bsoncore.AppendString(dst, s), nil
	case TypeCode:
		return bson.TypeJavaScript, bsoncore.AppendJavaScript(dst, s), nil
	case TypeSymbol:
		return bson.TypeSymbol, bsoncore.AppendSymbol(dst, s), nil
	case TypeObjectID:
		if b, err := hex.DecodeString(s); err == nil && len(b) == 12 && strings.ToLower(s) == s {
			return bson.TypeObjectID, append(dst, b...), nil
		}
	case TypeUUID:
		if b, ok := parseUUID(s); ok {
			return bson.TypeBinary, bsoncore.AppendBinary(dst, 4, b), nil
		}
	case TypeDate:
		if t, err := time.Parse(dateText, s); err == nil && t.Format(dateText) == s {
			return bson.TypeDateTime, bsoncore.AppendDateTime(dst, t.UnixMilli()), nil
		}
	case TypeDouble:
		if f, ok := textDouble(s); ok {
			return bson.TypeDouble, bsoncore.AppendDouble(dst, f), nil
		}
	case TypeDecimal:
		if d, err := bson.ParseDecimal128(s); err == nil && d.String() == s {
			h, l := d.GetBytes()
			return bson.TypeDecimal128, bsoncore.AppendDecimal128(dst, h, l), nil
		}
	case TypeRegex:
		end := strings.LastIndexByte(s, '/')
		if end > 0 && s[0] == '/' && strings.IndexByte(s, 0) < 0 {
			return bson.TypeRegex, bsoncore.AppendRegex(dst, s[1:end], s[end+1:]), nil
		}
	}
	return 0, nil, misfit(kind, str(s))
}

func parseUUID(s string) ([]byte, bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || strings.ToLower(s) != s {
		return nil, false
	}
	b, err := hex.DecodeString(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	return b, err == nil
}

// textDouble reads the doubles that no DynamoDB number can be.
func textDouble(s string) (float64, bool) {
	switch s {
	case "NaN":
		return math.Float64frombits(0x7FF8000000000000), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && strconv.FormatFloat(f, 'E', -1, 64) == s && !doubleNumber(f).storable()
}

func appendNumber(dst []byte, s, kind, param string) (bson.Type, []byte, error) {
	n, ok := parseNumber(s)
	if !ok || !n.storable() {
		return 0, nil, fmt.Errorf("%w: %.60q", ErrDigits, s)
	}
	switch kind {
	case TypeInt32:
		if i, err := strconv.ParseInt(n.String(), 10, 32); err == nil {
			return bson.TypeInt32, bsoncore.AppendInt32(dst, int32(i)), nil
		}
	case TypeInt64:
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			return bson.TypeInt64, bsoncore.AppendInt64(dst, i), nil
		}
	case TypeDate:
		i, err := strconv.ParseInt(n.String(), 10, 64)
		if y := time.UnixMilli(i).UTC().Year(); err == nil && (y < 0 || y > 9999) {
			return bson.TypeDateTime, bsoncore.AppendDateTime(dst, i), nil
		}
	case TypeTimestamp:
		if i, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			return bson.TypeTimestamp, bsoncore.AppendTimestamp(dst, uint32(i>>32), uint32(i)), nil
		}
	case typeNegativeZero:
		if n.digits == "" {
			return bson.TypeDouble, bsoncore.AppendDouble(dst, math.Copysign(0, -1)), nil
		}
	case TypeDouble:
		if n.isDouble() {
			f, _ := strconv.ParseFloat(n.String(), 64)
			return bson.TypeDouble, bsoncore.AppendDouble(dst, f), nil
		}
	case TypeDecimal:
		return appendDecimal(dst, n, param)
	}
	return 0, nil, misfit(kind, num(s))
}

func appendDecimal(dst []byte, n number, param string) (bson.Type, []byte, error) {
	exp := n.exp
	if param != "" {
		var err error
		if exp, err = strconv.Atoi(param); err != nil || strconv.Itoa(exp) != param || exp < -6176 || exp > 6111 {
			return 0, nil, misfit(TypeDecimal+":"+param, num(n.String()))
		}
	}
	d, ok := n.decimal(exp)
	if !ok {
		return 0, nil, fmt.Errorf("%w: %d digits, a Decimal128 has 34", ErrDigits, len(n.digits))
	}
	h, l := d.GetBytes()
	return bson.TypeDecimal128, bsoncore.AppendDecimal128(dst, h, l), nil
}

func appendBinary(dst, b []byte, kind, param string) (bson.Type, []byte, error) {
	switch kind {
	case TypeBinary:
		subtype, err := strconv.ParseUint("0"+param, 10, 8)
		if err != nil {
			return 0, nil, misfit(kind+":"+param, bin(nil))
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
		return bson.TypeBinary, append(append(dst, byte(subtype)), b...), nil
	case typeDeflated:
		plain, err := inflate(b)
		if err != nil {
			return 0, nil, fmt.Errorf("%w: %v", ErrHint, err)
		}
		return appendBinary(dst, plain, typeRaw, "")
	case typeRaw:
		if len(b) == 0 {
			return 0, nil, misfit(kind, bin(nil))
		}
		v := bson.RawValue{Type: bson.Type(b[0]), Value: b[1:]}
		if !whole(v) || !exact(v) {
			return 0, nil, fmt.Errorf("%w: raw value of type %#x", ErrHint, b[0])
		}
		return v.Type, append(dst, v.Value...), nil
	}
	return 0, nil, misfit(kind, bin(nil))
}
