package sqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// messageAttribute is what a sender put beside the body.
type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

func (a messageAttribute) value() (transport byte, value []byte) {
	if a.StringValue != nil {
		return 1, []byte(*a.StringValue)
	}
	return 2, a.BinaryValue
}

const maxAttributes = 10

var attributeForm = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,256}$`)

func validateAttributes(all map[string]messageAttribute) error {
	if len(all) > maxAttributes {
		return invalid("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(all), maxAttributes)
	}
	for name, a := range all {
		kind, _, _ := strings.Cut(a.DataType, ".")
		_, value := a.value()
		switch {
		case !attributeForm.MatchString(name):
			return invalid("Invalid message attribute name: %q.", name)
		case kind != "String" && kind != "Number" && kind != "Binary" || (kind == "Binary") != (a.StringValue == nil):
			return invalid("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
		case len(value) == 0:
			return invalid("The message attribute '%s' must contain a non-empty value of its type.", name)
		}
	}
	return nil
}

func sizeOf(all map[string]messageAttribute) (n int) {
	for name, a := range all {
		_, value := a.value()
		n += len(name) + len(a.DataType) + len(value)
	}
	return n
}

// attributesMD5 is as the developer guide says in "Calculating the MD5 message digest for
// message attributes".
func attributesMD5(all map[string]messageAttribute) string {
	if len(all) == 0 {
		return ""
	}
	var text []byte
	add := func(b []byte) { text = append(binary.BigEndian.AppendUint32(text, uint32(len(b))), b...) }
	for _, name := range slices.Sorted(maps.Keys(all)) {
		transport, value := all[name].value()
		add([]byte(name))
		add([]byte(all[name].DataType))
		text = append(text, transport)
		add(value)
	}
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

// named returns the attributes that a receiver asks for: by name, by prefix.*, or All.
func (m *message) named(names []string) map[string]messageAttribute {
	out := map[string]messageAttribute{}
	for name, a := range m.attributes {
		if slices.ContainsFunc(names, func(asked string) bool {
			prefix, isPrefix := strings.CutSuffix(asked, ".*")
			return asked == name || asked == "All" || isPrefix && strings.HasPrefix(name, prefix)
		}) {
			out[name] = a
		}
	}
	return out
}

func (m *message) size() int64 { return int64(len(m.body) + sizeOf(m.attributes)) }

func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// validText reports whether SQS can carry a body: the characters of XML 1.0.
func validText(s string) bool {
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
		case r < 0x20, r == 0xFFFE, r == 0xFFFF:
			return false
		}
	}
	return utf8.ValidString(s)
}
