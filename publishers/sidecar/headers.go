package sidecar

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

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
