package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// What references begin with.
const (
	parameterScheme = "ssm:"
	secretScheme    = "secret:"
)

// ErrReference is returned for a reference that names nothing.
var ErrReference = errors.New("not a reference to a parameter or secret")

// Reference names a value at its source.
type Reference struct {
	key    key
	member string // of a secret that is JSON; "" is all of it
}

// IsReference reports whether a setting names its value instead of being it.
func IsReference(setting string) bool {
	return strings.HasPrefix(setting, parameterScheme) || strings.HasPrefix(setting, secretScheme)
}

// ParseReference reads "ssm:/name", "secret:name" or "secret:name#member".
// ErrReference.
func ParseReference(text string) (Reference, error) {
	if name, ok := strings.CutPrefix(text, parameterScheme); ok && validName(name) {
		return Reference{key: key{parameter, name}}, nil
	}
	if rest, ok := strings.CutPrefix(text, secretScheme); ok {
		name, member, hasMember := strings.Cut(rest, "#")
		if validName(name) && hasMember == (member != "") {
			return Reference{key{secret, name}, member}, nil
		}
	}
	if !IsReference(text) { // it may be the secret itself
		return Reference{}, fmt.Errorf("%w: it must begin with %q or %q", ErrReference, parameterScheme, secretScheme)
	}
	return Reference{}, fmt.Errorf("%w: %q; write ssm:/banyan/prod/name, secret:banyan/prod/name or secret:banyan/prod/name#member", ErrReference, text)
}

// String is the reference as it is written.
func (r Reference) String() string {
	if r.key.kind == parameter {
		return parameterScheme + r.key.name
	}
	if r.member == "" {
		return secretScheme + r.key.name
	}
	return secretScheme + r.key.name + "#" + r.member
}

// longest is how many characters the ARN of a parameter or secret may have.
const longest = 2048

func validName(name string) bool {
	return name != "" && len(name) <= longest && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// of picks the member. Errors show nothing of the text.
func (r Reference) of(text string) (Secret, error) {
	if r.member == "" {
		return NewSecret(text), nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return Secret{}, fmt.Errorf("%w: %s: the secret must be a JSON object to have a member %s", ErrNotFound, r, r.member)
	}
	raw, ok := members[r.member]
	if !ok {
		return Secret{}, fmt.Errorf("%w: %s: the secret has no member %s; put it there, or correct the reference", ErrNotFound, r, r.member)
	}
	var value string
	if json.Unmarshal(raw, &value) != nil {
		value = string(raw) // a number, such as a port
	}
	return NewSecret(value), nil
}
