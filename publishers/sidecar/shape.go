package sidecar

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/banyan-fig/banyan/events"
)

func malformed(attribute, why string, args ...any) error {
	return fmt.Errorf("%w: %.40s: %s", events.ErrMalformed, attribute, fmt.Sprintf(why, args...))
}

// checkJSON reports whether b is one JSON value that begins with a character.
func checkJSON(b []byte, first byte, want string) error {
	if !utf8.Valid(b) {
		return fmt.Errorf("%w: not UTF-8", events.ErrMalformed)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(b, &whole); err != nil {
		return fmt.Errorf("%w: not JSON: %w", events.ErrMalformed, err)
	}
	if whole[0] != first {
		return fmt.Errorf("%w: %s", events.ErrMalformed, want)
	}
	return nil
}

// splitJSON cuts a valid JSON array into its elements, and an object into its names and
// values in turn.
func splitJSON(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, depth := 0, 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i = endOfString(b, i)
			case '{', '[':
				if depth++; depth == 1 {
					start = i + 1
				}
			case '}', ']':
				if depth--; depth == 0 {
					if last := bytes.TrimSpace(b[start:i]); len(last) > 0 {
						yield(last)
					}
					return
				}
			case ',', ':':
				if depth == 1 {
					if !yield(bytes.TrimSpace(b[start:i])) {
						return
					}
					start = i + 1
				}
			}
		}
	}
}

// endOfString returns the index of the quote that ends the string at i.
func endOfString(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

// textOf returns the text of a JSON string.
func textOf(value []byte) (text string) {
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1])
	}
	_ = json.Unmarshal(value, &text) // it is valid
	return text
}

// checkShape checks each attribute of an event in JSON: it occurs once, and has a
// value that an attribute can have. It returns the id if it got that far.
func checkShape(b []byte) (id string, err error) {
	if err := checkJSON(b, '{', "an event is a JSON object"); err != nil {
		return "", err
	}
	seen := make(map[string]bool, 16)
	name := ""
	for part := range splitJSON(b) {
		if name == "" {
			name = strings.ToLower(textOf(part)) // the SDK compares names so
			if !isAttributeName(name) && name != "data_base64" {
				return id, malformed(strconv.Quote(name), "names of attributes are letters and digits")
			}
			continue
		}
		if seen[name] {
			return id, malformed(name, "given twice")
		}
		seen[name] = true
		if err := checkValue(name, part); err != nil {
			return id, err
		}
		if name == "id" && part[0] == '"' {
			id = textOf(part)
		}
		name = ""
	}
	if !seen["specversion"] {
		return id, malformed("specversion", `required, and absent: add "specversion": "1.0"`)
	}
	return id, nil
}

func checkValue(name string, value []byte) error {
	switch name {
	case "data":
		return nil
	case "id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema", "data_base64":
		switch {
		case value[0] == '"':
			return checkText(name, textOf(value))
		case value[0] == 'n' && name != "data_base64" && name != "specversion":
			return nil // the JSON format's way to say absent
		}
		return malformed(name, "not a text")
	}
	switch first := value[0]; {
	case first == '{' || first == '[':
		return malformed(name, "neither a text nor a number nor a boolean")
	case first == '-' || first >= '0' && first <= '9':
		if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
			return malformed(name, "%.40s is not a whole number of 32 bits; send it as a text", value)
		}
	}
	return nil
}

// checkText checks the attributes that the SDK's errors do not name.
func checkText(name, text string) error {
	switch name {
	case "time":
		if _, err := types.ParseTime(text); err != nil {
			return malformed(name, "%.40q is not an RFC 3339 time", text)
		}
	case "source":
		if types.ParseURIRef(text) == nil {
			return malformed(name, "%.80q is not a URI-reference", text)
		}
	case "datacontenttype":
		return checkContentType(text)
	case "dataschema":
		if types.ParseURI(text) == nil {
			return malformed(name, "%.80q is not a URI", text)
		}
	case "data_base64":
		if _, err := base64.StdEncoding.DecodeString(text); err != nil {
			return malformed(name, "not base64")
		}
	}
	return nil
}
