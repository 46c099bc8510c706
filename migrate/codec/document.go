package codec

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// rootPath is the hint of the document itself; no attribute has an empty name.
const rootPath = "/"

// orderHint precedes a field order that differs from the natural one.
const orderHint = "order:"

// maxInflated bounds what a compressed field may grow to: a BSON document.
const maxInflated = 17 << 20

// The longest names that DynamoDB accepts, in bytes: of attributes, at any depth, and of
// those that are keys ("Supported data types and naming rules in Amazon DynamoDB").
const (
	maxName    = 65535
	maxKeyName = 255
)

// element is one field of a document, not copied.
type element struct {
	name  string
	value bson.RawValue
}

// elements splits a document; ok is false unless every byte is accounted for.
func elements(doc []byte) (all []element, ok bool) {
	length, rest, ok := bsoncore.ReadLength(doc)
	if !ok || int(length) != len(doc) || len(doc) < 5 || doc[len(doc)-1] != 0 {
		return nil, false
	}
	rest = rest[:len(rest)-1]
	all = make([]element, 0, 8)
	for len(rest) > 0 {
		var e bsoncore.Element
		if e, rest, ok = bsoncore.ReadElement(rest); !ok {
			return nil, false
		}
		key, err := e.KeyErr()
		if err != nil {
			return nil, false
		}
		v, err := e.ValueErr()
		if err != nil {
			return nil, false
		}
		all = append(all, element{key, bson.RawValue{Type: bson.Type(v.Type), Value: v.Data}})
	}
	return all, true
}

// exact reports whether a value has no byte beyond its type's length.
func exact(v bson.RawValue) bool {
	got := bsoncore.AppendHeader(nil, bsoncore.Type(v.Type), "")
	got = append(got, v.Value...)
	_, rest, ok := bsoncore.ReadElement(got)
	return ok && len(rest) == 0
}

type encoder struct {
	codec *Codec
	doc   bson.Raw // the whole
	hints map[string]string
	path  []byte
}

// Encode returns the item for a document. The error is a *FitError when the
// document cannot be stored.
func (c *Codec) Encode(doc bson.Raw) (Item, error) {
	e := encoder{codec: c, doc: doc, hints: map[string]string{}}
	whole := doc
	doc = c.Kept(doc)
	fields, ok := elements(doc)
	if !ok {
		return nil, &FitError{ID: "(unknown)", Reason: ErrMalformed, WayOut: "repair the document in MongoDB"}
	}
	item, order, unfaithful, err := e.fields(fields)
	if err != nil {
		return nil, err
	}
	if err := c.attachHints(item, e.hints, order, doc, unfaithful); err != nil {
		return nil, located(err, fields, c, "")
	}
	if err := c.derive(item, whole); err != nil {
		return nil, located(err, fields, c, "")
	}
	if size := Size(item) + reserve; size > MaxItemSize {
		return nil, tooLarge(item, fields, c, size)
	}
	return item, nil
}

// fields encodes the top level. unfaithful means that names repeat or cannot be
// attribute names, so that only the whole document's bytes are without loss.
func (e *encoder) fields(fields []element) (item Item, order []string, unfaithful bool, err error) {
	c := e.codec
	item, order = make(Item, len(fields)+2), make([]string, 0, len(fields))
	for _, f := range fields {
		name := c.Attribute(f.name)
		if _, twice := item[name]; twice || len(name) > maxName || !utf8.ValidString(name) {
			unfaithful = true
			continue
		}
		var av types.AttributeValue
		if f.name == c.key.From {
			if av, err = c.fullKey(e.doc, f.value); err == nil {
				e.hintKey(f.value)
			}
		} else {
			av, err = e.field(name, f.value)
		}
		if err != nil {
			return nil, nil, false, located(err, fields, c, f.name)
		}
		if item[name] = av; f.name == c.key.From {
			maps.Copy(item, c.KeyItem(av))
		}
		order = append(order, name)
	}
	if _, ok := item[c.key.Attribute]; !ok {
		return nil, nil, false, &FitError{ID: "(none)", Field: c.key.From, Reason: ErrKeyMissing, WayOut: "give the document its " + c.key.From}
	}
	return item, order, unfaithful, nil
}

// hintKey notes what the key does not say about the identifier.
func (e *encoder) hintKey(id bson.RawValue) {
	if !derivedKeys[e.codec.key.Type] {
		return // the attribute says all
	}
	if hint := e.codec.keyHint(id); hint != "" {
		e.hints[string(appendStep(nil, e.codec.key.Attribute))] = hint
	}
}

// located completes an error with the document and the field it came from.
func located(err error, fields []element, c *Codec, field string) error {
	var fit *FitError
	if errors.As(err, &fit) && fit.ID != "" {
		return err
	}
	if fit == nil {
		fit = &FitError{Field: shorten(field), Reason: err, WayOut: "repair the field in MongoDB"}
	}
	fit.ID = "(none)"
	for _, f := range fields {
		if f.name == c.key.From {
			fit.ID = Show(f.value)
			break
		}
	}
	return fit
}

func tooLarge(item Item, fields []element, c *Codec, size int) error {
	largest, most := "", -1
	for _, f := range fields {
		if av, ok := item[c.Attribute(f.name)]; ok && valueSize(av) > most {
			largest, most = f.name, valueSize(av)
		}
	}
	return located(&FitError{Field: shorten(largest),
		Reason: fmt.Errorf("%w: %d bytes, allowed are %d (this field has %d)", ErrTooLarge, size, MaxItemSize, most),
		WayOut: "declare the field `compressed: true` in the plan, or `drop: true` to leave it out, or make the document smaller"}, fields, c, largest)
}

// attachHints writes the hints into the reserved attribute, if there are any. The path of
// each is the name of an attribute there.
func (c *Codec) attachHints(item Item, hints map[string]string, order []string, doc bson.Raw, unfaithful bool) error {
	if o := permutation(order, c.naturalOrder(item)); o != "" {
		hints[rootPath] = o
	}
	if len(hints) == 0 && !unfaithful {
		return nil
	}
	h := make(map[string]types.AttributeValue, len(hints))
	longest := ""
	for path, code := range hints {
		h[path] = str(code)
		if len(path) > len(longest) || len(path) == len(longest) && path < longest {
			longest = path
		}
	}
	switch {
	case unfaithful:
		h = map[string]types.AttributeValue{rootPath: bin(doc)}
	case len(longest) > maxName:
		return &FitError{Field: shorten(longest),
			Reason: fmt.Errorf("%w: the names that lead to the value have %d bytes together, allowed are %d", ErrNameSize, len(longest), maxName),
			WayOut: "shorten the names in MongoDB, or declare the top-level field `compressed: true` in the plan"}
	}
	item[Reserved] = &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
		HintsMember: &types.AttributeValueMemberM{Value: h}}}
	return nil
}

// permutation says how order arises from natural, "" if they are the same.
func permutation(order, natural []string) string {
	if slices.Equal(order, natural) {
		return ""
	}
	index := make(map[string]int, len(natural))
	for i, n := range natural {
		index[n] = i
	}
	parts := make([]string, len(order))
	for i, n := range order {
		parts[i] = strconv.Itoa(index[n])
	}
	return orderHint + strings.Join(parts, ",")
}

// permute is the inverse of permutation.
func permute(hint string, natural []string) ([]string, error) {
	list, ok := strings.CutPrefix(hint, orderHint)
	if !ok {
		return nil, fmt.Errorf("%w: invalid field order %.40q", ErrHint, hint)
	}
	parts := strings.Split(list, ",")
	order, used := make([]string, 0, len(natural)), make([]bool, len(natural))
	for _, p := range parts {
		i, err := strconv.Atoi(p)
		if err != nil || i < 0 || i >= len(natural) || used[i] {
			return nil, fmt.Errorf("%w: field order of %d for %d fields", ErrHint, len(parts), len(natural))
		}
		used[i] = true
		order = append(order, natural[i])
	}
	if len(order) != len(natural) {
		return nil, fmt.Errorf("%w: field order of %d for %d fields", ErrHint, len(order), len(natural))
	}
	return order, nil
}

// field encodes one top-level field under its declaration.
func (e *encoder) field(name string, v bson.RawValue) (types.AttributeValue, error) {
	declared := e.codec.declared(name)
	if declared.Compressed {
		return bin(deflate(append([]byte{byte(v.Type)}, v.Value...))), nil
	}
	e.path = appendStep(e.path[:0], name)
	av, code, err := e.value(v, 1)
	if err != nil {
		return nil, err
	}
	if code != declared.Type && code != natural(av, declared) { // the former it was just read back as
		e.hints[string(e.path)] = code
	}
	return av, nil
}

func appendStep(path []byte, name string) []byte {
	path = append(path, '/')
	if strings.ContainsAny(name, "~/") {
		name = strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return append(path, name...)
}

// value encodes a value whose containers stand at the given depth. The code is
// returned for the caller to note where it is not the natural one.
func (e *encoder) value(v bson.RawValue, depth int) (types.AttributeValue, string, error) {
	isDocument, isArray := v.Type == bson.TypeEmbeddedDocument, v.Type == bson.TypeArray
	if !isDocument && !isArray {
		return encodeScalar(v)
	}
	fields, ok := elements(v.Value)
	if depth > MaxDepth && e.codec.deep != DeepBinary {
		return nil, "", &FitError{Field: shorten(string(e.path)), Reason: fmt.Errorf("%w: more than %d containers within each other", ErrTooDeep, MaxDepth),
			WayOut: "set `deepNesting: binary` in the plan to store the deepest part as binary BSON"}
	}
	if !ok || depth > MaxDepth || isDocument && !plainNames(fields) || isArray && !plainIndexes(fields) {
		if !exact(v) {
			return nil, "", ErrMalformed
		}
		return bin(append([]byte{byte(v.Type)}, v.Value...)), typeRaw, nil
	}
	if isArray {
		return e.array(fields, depth)
	}
	return e.document(fields, depth)
}

func plainNames(fields []element) bool {
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		if seen[f.name] || len(f.name) > maxName-len(escape) || !utf8.ValidString(f.name) {
			return false
		}
		seen[f.name] = true
	}
	return true
}

func plainIndexes(fields []element) bool {
	for i, f := range fields {
		if f.name != strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// nestedName is the attribute name of a field inside a document: only what
// DynamoDB cannot have (an empty name), or what means the escape, is escaped.
func nestedName(field string) string {
	if field == "" || strings.HasPrefix(field, escape) {
		return escape + field
	}
	return field
}

func (e *encoder) document(fields []element, depth int) (types.AttributeValue, string, error) {
	m := make(map[string]types.AttributeValue, len(fields))
	order := make([]string, 0, len(fields))
	base := len(e.path)
	for _, f := range fields {
		name := nestedName(f.name)
		e.path = appendStep(e.path[:base], name)
		av, code, err := e.value(f.value, depth+1)
		if err != nil {
			return nil, "", e.at(err)
		}
		if code != natural(av, Field{}) {
			e.hints[string(e.path)] = code
		}
		m[name] = av
		order = append(order, name)
	}
	e.path = e.path[:base]
	code := TypeDocument
	if o := permutation(order, sortedNames(m)); o != "" {
		code = o
	}
	return &types.AttributeValueMemberM{Value: m}, code, nil
}

// array encodes a list; a hint that all elements share is noted once, under "*".
func (e *encoder) array(fields []element, depth int) (types.AttributeValue, string, error) {
	list := make([]types.AttributeValue, len(fields))
	codes := make([]string, len(fields))
	base := len(e.path)
	for i, f := range fields {
		e.path = appendStep(e.path[:base], f.name)
		av, code, err := e.value(f.value, depth+1)
		if err != nil {
			return nil, "", e.at(err)
		}
		if list[i] = av; code != natural(av, Field{}) {
			codes[i] = code
		}
	}
	e.noteElements(codes, base)
	e.path = e.path[:base]
	return &types.AttributeValueMemberL{Value: list}, TypeArray, nil
}

func (e *encoder) noteElements(codes []string, base int) {
	shared := len(codes) > 1
	for _, code := range codes {
		shared = shared && code != "" && code == codes[0]
	}
	for i, code := range codes {
		switch {
		case shared:
			e.hints[string(appendStep(e.path[:base], "*"))] = code
			return
		case code != "":
			e.hints[string(appendStep(e.path[:base], strconv.Itoa(i)))] = code
		}
	}
}

// at names the place of an error that does not know it yet.
func (e *encoder) at(err error) error {
	var fit *FitError
	if errors.As(err, &fit) {
		return err
	}
	return &FitError{Field: shorten(string(e.path)), Reason: err, WayOut: "repair the field in MongoDB"}
}

func sortedNames(m map[string]types.AttributeValue) []string {
	all := make([]string, 0, len(m))
	for n := range m {
		all = append(all, n)
	}
	sort.Strings(all)
	return all
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.DefaultCompression) // the level is valid, and a buffer does not fail
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func inflate(b []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	out, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err == nil && len(out) > maxInflated {
		err = errors.New("compressed field is larger than a BSON document")
	}
	return out, err
}

func sealDocument(b []byte, start int) []byte {
	b = append(b, 0)
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}
