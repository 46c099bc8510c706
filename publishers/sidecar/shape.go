package sidecar

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/banyan-fig/banyan/events"
)

func malformed(attribute, why string, args ...any) error {
	return fmt.Errorf("%w: %.40s: %s", events.ErrMalformed, attribute, fmt.Sprintf(why, args...))
}

// checkShape looks at each attribute of an event in JSON: it is there once, and a
// value that an attribute can have. It returns the id if it came so far.
func checkShape(b []byte) (id string, err error) {
	if !utf8.Valid(b) {
		return "", malformed("event", "not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", malformed("event", "not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		name, value, err := member(d)
		if err != nil {
			return id, malformed("event", "%s", notJSON(err))
		}
		if seen[name] {
			return id, malformed(name, "given twice")
		}
		seen[name] = true
		if err := checkValue(name, value); err != nil {
			return id, err
		}
		if name == "id" {
			_ = json.Unmarshal(value, &id) // a text or null, by now
		}
	}
	return id, checkEnd(d, seen)
}

func checkEnd(d *json.Decoder, seen map[string]bool) error {
	if _, err := d.Token(); err != nil {
		return malformed("event", "%s", notJSON(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("event", "there is more after the object")
	}
	if !seen["specversion"] {
		return malformed("specversion", `required, and absent: add "specversion": "1.0"`)
	}
	return nil
}

// member reads one; names are told apart in lower case, as the SDK does.
func member(d *json.Decoder) (name string, value json.RawMessage, err error) {
	t, err := d.Token()
	if err != nil {
		return "", nil, err
	}
	name, _ = t.(string)
	return strings.ToLower(name), value, d.Decode(&value)
}

func checkValue(name string, value json.RawMessage) error {
	first := value[0]
	switch name {
	case "data":
		return nil
	case "id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema", "data_base64":
		if first == 'n' && name != "data_base64" && name != "specversion" {
			return nil // the JSON format's way to say absent
		}
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return malformed(name, "not a text")
		}
		return checkText(name, text)
	}
	return checkExtension(name, value)
}

func checkExtension(name string, value json.RawMessage) error {
	switch first := value[0]; {
	case first == '{' || first == '[':
		return malformed(name, "neither a text nor a number nor a boolean")
	case first == '-' || first >= '0' && first <= '9':
		if _, err := strconv.ParseInt(string(value), 10, 32); err != nil {
			return malformed(name, "%.40s is not a whole number of 32 bits; send it as a text", value)
		}
	}
	if !isAttributeName(name) {
		return malformed(name, "names of attributes are letters and digits")
	}
	return nil
}

// checkText is about the attributes of which the SDK does not say which is wrong.
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

func notJSON(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends in the middle of the object"
	}
	return err.Error()
}

// attributePrefix is that of headers which carry attributes, in canonical form.
const attributePrefix = "Ce-"

// attributeHeaders are the headers that carry the event, decoded.
func attributeHeaders(header http.Header) (http.Header, error) {
	decoded := http.Header{}
	for name, values := range header {
		if !strings.HasPrefix(name, attributePrefix) && name != "Content-Type" {
			continue
		}
		attribute := strings.ToLower(strings.TrimPrefix(name, attributePrefix))
		if len(values) > 1 {
			return nil, malformed(attribute, "given twice")
		}
		if name == "Content-Type" {
			decoded[name] = values
			continue
		}
		if !isAttributeName(attribute) {
			return nil, malformed("the header "+name, "names of attributes are letters and digits")
		}
		value := decodeHeader(values[0])
		if !utf8.ValidString(value) {
			return nil, malformed(attribute, "not UTF-8: percent-encode what is not ASCII")
		}
		if err := checkText(attribute, value); err != nil {
			return nil, err
		}
		decoded[name] = []string{value}
	}
	return decoded, nil
}

func isAttributeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// decodeHeader undoes quotes and percent-encoding, see
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values.
// A percent sign that encodes nothing stays, since many senders do not encode it.
func decodeHeader(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = unquote(s[1 : len(s)-1])
	}
	if !strings.Contains(s, "%") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := hexDigit(s[i+1]), hexDigit(s[i+2]); high >= 0 && low >= 0 {
				out = append(out, byte(high<<4|low))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

func unquote(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return string(out)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
