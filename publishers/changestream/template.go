package changestream

import (
	"errors"
	"fmt"
	"strings"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// A template is text with fields in braces, such as "user/{_id}". {{ and }} are
// written as single braces.
type template []piece

// piece is text, or a field when there is a path.
type piece struct {
	text string
	path path
}

var errTemplate = errors.New("not a template")

func parseTemplate(s string) (template, error) {
	var t template
	text := strings.Builder{}
	for i := 0; i < len(s); i++ {
		doubled := i+1 < len(s) && s[i+1] == s[i]
		switch {
		case s[i] != '{' && s[i] != '}':
			text.WriteByte(s[i])
		case doubled:
			text.WriteByte(s[i])
			i++
		case s[i] == '}':
			return nil, fmt.Errorf("%w: a } without its { (write }} for the character)", errTemplate)
		default:
			name, _, closed := strings.Cut(s[i+1:], "}")
			if !closed {
				return nil, fmt.Errorf("%w: a { without its } (write {{ for the character)", errTemplate)
			}
			p, err := checkPath(name)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errTemplate, err)
			}
			t = append(t, piece{text: text.String()}, piece{path: p})
			text.Reset()
			i += len(name) + 1
		}
	}
	return append(t, piece{text: text.String()}), nil
}

func checkPath(s string) (path, error) {
	p := newPath(s)
	for _, name := range p {
		if name == "" || strings.ContainsAny(name, "{}") || strings.TrimSpace(name) != name {
			return nil, fmt.Errorf("%q is not a path to a field, such as _id or address.city", s)
		}
	}
	return p, nil
}

// fill replaces the fields by their values in a document. It fails with errMissing for an absent one.
func (t template) fill(d *document) (string, error) {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
		if p.path == nil {
			continue
		}
		v, ok := d.find(p.path)
		if !ok {
			return "", fmt.Errorf("%w: %s", errMissing, p.path)
		}
		s, err := bsonjson.Text(v)
		if err != nil {
			return "", fmt.Errorf("field %s: %w", p.path, err)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}
