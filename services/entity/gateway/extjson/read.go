package extjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// ErrInvalid is returned for a text that stands for no document. Its text is for clients.
var ErrInvalid = errors.New("invalid JSON")

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 100

// Parse reads a document: exactly one JSON object, in UTF-8, without a name twice. ErrInvalid.
func (f Form) Parse(text []byte) (bson.Raw, error) {
	v, err := parse(text, "", f.Types, false)
	doc, ok := v.DocumentOK()
	if err == nil && !ok {
		err = fmt.Errorf("%w: it must be one object, which is a document", ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range f.Hidden {
		if _, err := doc.LookupErr(name); err == nil {
			return nil, fmt.Errorf("%w: the field %s is not the clients'", ErrInvalid, name)
		}
	}
	return doc, nil
}

// ParseField reads a value as text, such as one of a query: where the field is declared, a
// value of that type as in a document, without quotes. All else, and values of other types,
// are JSON; a text that is none is a string. ErrInvalid.
func (f Form) ParseField(name, text string) (v bson.RawValue, err error) {
	declared := f.Types[name]
	_, textual := texts[declared]
	if !json.Valid([]byte(text)) || declared == codec.TypeString || textual && !strings.HasPrefix(text, "{") {
		if v, err = plain(text, false, declared); err != nil {
			err = fmt.Errorf("%w: field %.100q: %w", ErrInvalid, name, err)
		}
		return v, err
	}
	return parse([]byte(text), declared, nil, false)
}

// Check checks that a text is one JSON value, in UTF-8, not nested too deep, and without a name
// that is twice in an object. ErrInvalid.
func Check(text []byte) error {
	_, err := parse(text, "", nil, true)
	return err
}

func parse(text []byte, declared string, types map[string]string, any bool) (v bson.RawValue, err error) {
	var whole json.RawMessage // the whole is checked first: tokens alone let some faults pass
	if err = json.Unmarshal(text, &whole); err == nil && !utf8.Valid(text) {
		err = errors.New("it is not UTF-8")
	}
	if err == nil {
		p := &parser{d: json.NewDecoder(bytes.NewReader(text)), text: text, any: any}
		p.d.UseNumber()
		v, err = p.value(declared, types, false)
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return v, err
}

// parser reads a text that is JSON, so that its tokens cannot fail.
type parser struct {
	d     *json.Decoder
	text  []byte
	depth int
	any   bool // values may be what BSON has not
}

func value(t bson.Type, b []byte) bson.RawValue { return bson.RawValue{Type: t, Value: b} }

// value reads a value of a declared type, "" for any. types are those of the fields, if it is
// an object; in a literal one names that begin with $ mean nothing.
func (p *parser) value(declared string, types map[string]string, literal bool) (bson.RawValue, error) {
	token, _ := p.d.Token()
	switch t := token.(type) {
	case string:
		return plain(t, false, declared)
	case json.Number:
		if !p.any {
			return plain(t.String(), true, declared)
		}
	case bool:
		return value(bson.TypeBoolean, bsoncore.AppendBoolean(nil, t)), nil
	case json.Delim:
		start := p.d.InputOffset() - 1
		doc, dollar, err := p.members(t == '[', types, literal)
		switch {
		case t == '[':
			return value(bson.TypeArray, doc), err
		case err != nil || !dollar || literal:
			return value(bson.TypeEmbeddedDocument, doc), err
		}
		return extended(doc, p.text[start:p.d.InputOffset()])
	}
	return value(bson.TypeNull, nil), nil
}

// members reads what is behind a bracket, and whether a name begins with $.
func (p *parser) members(array bool, types map[string]string, literal bool) (doc bson.Raw, dollar bool, err error) {
	if p.depth++; p.depth > MaxDepth {
		return nil, false, fmt.Errorf("it is nested deeper than %d", MaxDepth)
	}
	at, doc := bsoncore.AppendDocumentStart(nil)
	seen := map[string]bool{}
	for i := 0; p.d.More(); i++ {
		name := strconv.Itoa(i)
		if !array {
			token, _ := p.d.Token()
			name, _ = token.(string)
		}
		switch {
		case seen[name]:
			return nil, false, fmt.Errorf("the name %.100q is there twice in an object", name)
		case !p.any && strings.IndexByte(name, 0) >= 0:
			return nil, false, fmt.Errorf("the name %.100q has a zero byte, which BSON has not in names", name)
		}
		seen[name], dollar = true, dollar || !p.any && strings.HasPrefix(name, "$")
		wraps := i == 0 && name == "$document" && !literal && !array
		inner := map[bool]map[string]string{true: types}[wraps]
		v, err := p.value(types[name], inner, wraps)
		if err != nil {
			return nil, false, fmt.Errorf("field %.100q: %w", name, err)
		}
		doc = append(bsoncore.AppendHeader(doc, bsoncore.Type(v.Type), name), v.Value...)
	}
	p.depth--
	_, _ = p.d.Token() // the other bracket
	doc, err = bsoncore.AppendDocumentEnd(doc, at)
	return doc, dollar, err
}

// extended is what an object stands for in which a name begins with $; doc is the object read
// as a document.
func extended(doc bson.Raw, text []byte) (v bson.RawValue, err error) {
	elements, err := doc.Elements()
	if err != nil {
		return v, err
	}
	only := elements[0].Value()
	switch name := elements[0].Key(); {
	case len(elements) == 1 && (name == "$document" && only.Type == bson.TypeEmbeddedDocument || name == "$string" && only.Type == bson.TypeString):
		return only, nil
	case isReference(elements):
		return value(bson.TypeEmbeddedDocument, doc), nil
	case bytes.Contains(text, []byte(`\u0000`)): // names and patterns end with a zero byte in BSON
		return v, fmt.Errorf("%.100s: a zero byte cannot be here", text)
	case name == "$numberDecimal" && len(text) > 2*maxDecimal:
		return v, fmt.Errorf("%.100s is no decimal128: it is too long", text)
	}
	var wrapped bson.Raw
	if err := bson.UnmarshalExtJSON(fmt.Appendf(nil, `{"v":%s}`, text), false, &wrapped); err != nil {
		return v, fmt.Errorf("%.100s: %w", text, err)
	}
	if v = wrapped.Lookup("v"); v.Type == bson.TypeEmbeddedDocument || v.Validate() != nil {
		err = fmt.Errorf(`%.100s is no Extended JSON; a document with such names is {"$document": {...}}`, text)
	}
	return v, err
}

// texts and numbers are the Extended JSON around the plain forms of declared types.
var (
	texts = map[string]string{codec.TypeObjectID: `{"$oid":%s}`, codec.TypeDate: `{"$date":%s}`, codec.TypeUUID: `{"$uuid":%s}`,
		codec.TypeBinary: `{"$binary":{"base64":%s,"subType":"00"}}`, codec.TypeDecimal: `{"$numberDecimal":%s}`}
	numbers = map[string]string{codec.TypeInt32: `{"$numberInt":%s}`, codec.TypeInt64: `{"$numberLong":%s}`, codec.TypeDouble: `{"$numberDouble":%s}`,
		codec.TypeDecimal: `{"$numberDecimal":%s}`}
)

// maxDecimal is more than the longest decimal128 needs: the time that the driver takes to read
// one grows with the square of its length.
const maxDecimal = 64

// plain is what a string or a number stands for.
func plain(s string, isNumber bool, declared string) (v bson.RawValue, err error) {
	wrapper, kind, as := texts[declared], declared, "string"
	if isNumber {
		if _, err := strconv.ParseInt(s, 10, 32); declared == "" && err == nil {
			kind = codec.TypeInt32
		} else if declared == "" {
			kind = map[bool]string{true: codec.TypeDouble, false: codec.TypeInt64}[strings.ContainsAny(s, ".eE")]
		}
		wrapper, as = numbers[kind], "number"
	} else if declared == "" || declared == codec.TypeString {
		return value(bson.TypeString, bsoncore.AppendString(nil, s)), nil
	}
	quoted, err := json.Marshal(s)
	switch {
	case err != nil || wrapper == "":
		return v, fmt.Errorf(`it is declared as %s, for which a %s cannot stand; write {"$string": "x"}, or a number as {"$numberDouble": "1.0"}`, declared, as)
	case kind == codec.TypeDecimal && len(s) > maxDecimal:
		return v, fmt.Errorf("%.50s is no decimal128: it is too long", s)
	}
	var wrapped bson.Raw
	if err := bson.UnmarshalExtJSON(fmt.Appendf(nil, `{"v":`+wrapper+`}`, quoted), false, &wrapped); err != nil {
		return v, fmt.Errorf(`%.50q is no %s; other values are such as {"$numberDecimal": "1"} or {"$string": "x"}: %w`, s, kind, err)
	}
	return wrapped.Lookup("v"), nil
}
