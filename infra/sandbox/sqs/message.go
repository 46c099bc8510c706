package sqs

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const maxAttributes = 10

// attribute is a message attribute as it is on the wire.
type attribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

func (a attribute) isBinary() bool { return a.kind() == "Binary" }

func (a attribute) kind() string {
	kind, _, _ := strings.Cut(a.DataType, ".")
	return kind
}

func (a attribute) value() []byte {
	if a.isBinary() {
		return a.BinaryValue
	}
	if a.StringValue == nil {
		return nil
	}
	return []byte(*a.StringValue)
}

var attributeName = regexp.MustCompile(`^[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$`)

func (a attribute) validate(name string) error {
	lower := strings.ToLower(name)
	switch {
	case len(name) > 256 || !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
		return invalid("The message attribute name %q is invalid.", name)
	case len(a.DataType) > 256 || !slices.Contains([]string{"String", "Number", "Binary"}, a.kind()):
		return invalid("The type of message attribute %q is %q; it must begin with String, Number or Binary.", name, a.DataType)
	case len(a.value()) == 0:
		return invalid("The message attribute %q must contain a non-empty value of its type %s.", name, a.DataType)
	}
	return nil
}

// attributesMD5 is how clients check the attributes: over the sorted names,
// each with its type and value, all preceded by their length.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributesMD5(attributes map[string]attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	h := md5.New()
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		writeCounted(h, []byte(name))
		writeCounted(h, []byte(a.DataType))
		transport := byte(1)
		if a.isBinary() {
			transport = 2
		}
		h.Write([]byte{transport})
		writeCounted(h, a.value())
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeCounted(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
	h.Write(b)
}

func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// size is what counts against the limit: the body and all of the attributes.
func size(body string, attributes map[string]attribute) int {
	n := len(body)
	for name, a := range attributes {
		n += len(name) + len(a.DataType) + len(a.value())
	}
	return n
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

// wanted filters attributes by names, "All", ".*" and "prefix.*".
func wanted(attributes map[string]attribute, names []string) map[string]attribute {
	out := map[string]attribute{}
	for name, a := range attributes {
		if slices.ContainsFunc(names, func(pattern string) bool { return matches(pattern, name) }) {
			out[name] = a
		}
	}
	return out
}

func matches(pattern, name string) bool {
	if pattern == "All" || pattern == ".*" {
		return true
	}
	if prefix, ok := strings.CutSuffix(pattern, ".*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
