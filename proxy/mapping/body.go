package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
)

// ErrNotJSON says that a body is neither JSON nor a form.
var ErrNotJSON = errors.New("the body is not JSON")

// ErrTooLarge says that a body, or what would be made of it, exceeds a limit.
var ErrTooLarge = errors.New("too large to map")

// Limits of a body.
const (
	maxBody       = 1 << 30 // bytes: what an index can hold; the proxy's own limit is far lower
	maxTextOfBody = 64 << 10
	maxFields     = 1000 // of a form
)

// A Body is what $. stands for. The zero value is an empty body, in which everything is
// absent. It is immutable.
type Body struct {
	doc *document
	raw []byte
	err error // why there is no doc, though there are bytes
}

// DecodeBody reads a body by its Content-Type: a form, the fields of multipart/form-data,
// and anything else as JSON, whatever it is called; an empty one is an empty Body. raw must
// have no Content-Encoding, and must not be changed as long as the Body is used.
//
// With an error that is ErrNotJSON the Body has no values, but $text is its text: an error
// page can still be mapped by ResponseSpec.Error.
//
// A field of a form that comes once is a text, one that comes several times a list of texts.
// Files cannot be mapped: a part that is one is an error, unless it is empty.
func DecodeBody(contentType string, raw []byte) (Body, error) {
	if len(raw) == 0 {
		return Body{}, nil
	}
	b := Body{raw: raw}
	if len(raw) > maxBody {
		b.err = ErrTooLarge
		return b, b.err
	}
	media, params, err := mime.ParseMediaType(contentType)
	var form Values
	switch {
	case media == "application/x-www-form-urlencoded":
		form, err = ParseValues(string(raw)), nil
	case media == "multipart/form-data" && err == nil:
		form, err = parseMultipart(raw, params["boundary"])
	default:
		b.doc, err = parse(bytes.TrimPrefix(raw, []byte("\xEF\xBB\xBF")), maxDepth)
		if err != nil {
			b.err = fmt.Errorf("%w (Content-Type %.80q): %w", ErrNotJSON, contentType, err)
		}
		return b, b.err
	}
	if err == nil && len(form) > maxFields {
		err = fmt.Errorf("the form has over %d fields: %w", maxFields, ErrTooLarge)
	}
	if err == nil {
		b.doc, err = form.document()
	}
	b.err = err
	return b, err
}

func (b Body) text() value {
	if len(b.raw) == 0 {
		return value{}
	}
	return textValue(strings.ToValidUTF8(string(b.raw[:min(len(b.raw), maxTextOfBody)]), "\uFFFD"))
}

// A Pair is a name and its value.
type Pair struct{ Name, Value string }

// Values are names and their values in order, such as the parameters of a query.
type Values []Pair

// ParseValues reads a query or an urlencoded form as browsers do (WHATWG URL, 5.1): nothing
// is refused and nothing is lost. Only & separates, and a % without two digits is itself.
func ParseValues(s string) Values {
	var out Values
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		name, v, _ := strings.Cut(pair, "=")
		out = append(out, Pair{decodePercent(name), decodePercent(v)})
	}
	return out
}

func decodePercent(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			c, _ := url.PathUnescape(s[i : i+3])
			out = append(out, c...)
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}

// Get is the first value of a name.
func (v Values) Get(name string) (string, bool) {
	for _, p := range v {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

func (v Values) all(name string) (out []string) {
	for _, p := range v {
		if p.Name == name {
			out = append(out, p.Value)
		}
	}
	return out
}

func (v Values) encode() string {
	var b strings.Builder
	for i, p := range v {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value))
	}
	return b.String()
}

// document is a form as JSON.
func (v Values) document() (*document, error) {
	dst := []byte{'{'}
	seen := map[string][]string{}
	for _, p := range v {
		seen[p.Name] = append(seen[p.Name], p.Value)
	}
	for _, p := range v {
		all := seen[p.Name]
		if all == nil {
			continue
		}
		delete(seen, p.Name)
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, p.Name), ':')
		if len(all) > 1 {
			dst = textsValue(all).appendJSON(dst)
		} else {
			dst = appendText(dst, all[0])
		}
	}
	return parse(append(dst, '}'), 2)
}

func parseMultipart(raw []byte, boundary string) (Values, error) {
	var out Values
	r := multipart.NewReader(bytes.NewReader(raw), boundary)
	for len(out) <= maxFields {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("invalid multipart form: %w", err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("invalid multipart form: %w", err)
		}
		_, disposition, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		_, isFile := disposition["filename"]
		switch {
		case !isFile:
			out = append(out, Pair{disposition["name"], string(content)})
		case len(content) > 0: // rather than an input that was left empty
			return nil, fmt.Errorf("the form's field %.40q is a file, which cannot be mapped", disposition["name"])
		}
	}
	return out, nil
}
