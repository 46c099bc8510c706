package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// MaxSubject is the maximum length of a subject in bytes: it bounds what is kept for
// each one.
const MaxSubject = 256

// maxDepth bounds the nesting of what DecodeJSON reads.
const maxDepth = 32

// CheckSubject refuses a subject that is empty, longer than MaxSubject, not UTF-8, has
// control characters, or is "." or "..", which would change a path.
func CheckSubject(subject string) error {
	switch {
	case subject == "":
		return errors.New("the subject is empty")
	case len(subject) > MaxSubject:
		return fmt.Errorf("the subject has %d bytes, more than %d", len(subject), MaxSubject)
	case !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl):
		return fmt.Errorf("the subject %q has control characters, or is not UTF-8", subject)
	case subject == "." || subject == "..":
		return fmt.Errorf("the subject is %q", subject)
	}
	return nil
}

// Pointer finds a value in JSON: by the name of a member, or by a JSON pointer.
type Pointer []string

// ParsePointer reads a JSON pointer (RFC 6901), which begins with "/", or the name of a
// member of the outermost object.
func ParsePointer(text string) (Pointer, error) {
	rest, nested := strings.CutPrefix(text, "/")
	if !nested {
		return Pointer{text}, nil
	}
	if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(rest), "~") {
		return nil, errors.New(`"~" in a JSON pointer must be followed by 0 or 1`)
	}
	p := Pointer(strings.Split(rest, "/"))
	for i, s := range p {
		p[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
	}
	return p, nil
}

// Text is the text or integer that p points at in a value of DecodeJSON. An integer
// is given with its digits as they were written.
func (p Pointer) Text(v any) (string, error) {
	for _, name := range p {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			i, err := strconv.ParseUint(name, 10, 31)
			if err != nil || i >= uint64(len(in)) {
				return "", errors.New("it is absent")
			}
			v = in[i]
		default:
			return "", errors.New("it is absent")
		}
	}
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "", fmt.Errorf("%.40s is not an integer", v)
		}
		return v.String(), nil
	case nil:
		return "", errors.New("it is absent, or null")
	}
	return "", errors.New("it is neither a text nor an integer")
}

// DecodeJSON is json.Unmarshal into any that keeps the digits of numbers (json.Number)
// and refuses what parsers read differently: a member twice in one object, nesting
// deeper than 32, text behind the value.
func DecodeJSON(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeValue(d, maxDepth)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the JSON value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if _, nested := t.(json.Delim); nested && depth == 0 {
		return nil, fmt.Errorf("the JSON is nested deeper than %d", maxDepth)
	}
	switch t {
	case json.Delim('{'):
		out := map[string]any{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name := key.(string) // the decoder allows nothing else here
			if _, twice := out[name]; twice {
				return nil, fmt.Errorf("the JSON has the member %.100q twice", name)
			}
			if out[name], err = decodeValue(d, depth-1); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return out, err
	case json.Delim('['):
		out := []any{}
		for d.More() {
			v, err := decodeValue(d, depth-1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err = d.Token()
		return out, err
	}
	return t, nil
}

// strictClaims are claims as DecodeJSON reads them.
type strictClaims struct{ jwt.MapClaims }

// UnmarshalJSON implements json.Unmarshaler.
func (c *strictClaims) UnmarshalJSON(raw []byte) error {
	v, err := DecodeJSON(raw)
	if err != nil {
		return err
	}
	members, ok := v.(map[string]any)
	if !ok {
		return errors.New("the claims are not an object")
	}
	c.MapClaims = members
	return nil
}
