package mapping

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// pathPart is literal text, or a segment's part from a template.
type pathPart struct {
	literal string
	value   *Template // nil: literal
	rest    bool      // Scope.Rest, as it came
}

// path makes an escaped path. What a client sent stays inside its segment.
func (p *parts) path(path []pathPart) string {
	var b strings.Builder
	for _, part := range path {
		switch {
		case part.rest:
			b.WriteString(p.scope.Rest)
			continue
		case part.value == nil:
			b.WriteString(part.literal)
			continue
		}
		v, _, err := part.value.Text(p.scope)
		if err != nil {
			p.fail("path: {%s}: %w", part.literal, err)
		} else if v == "" {
			p.fail("path: {%s} is absent or empty", part.literal)
		}
		b.WriteString(url.PathEscape(v))
	}
	for segment := range strings.SplitSeq(b.String(), "/") {
		if plain := decodePercent(segment); plain == "." || plain == ".." {
			p.fail("path: %q would leave the path", segment)
		}
	}
	return b.String()
}

// mustBeEscaped says whether a character cannot be in a path as it is.
func mustBeEscaped(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune("?#}\"<>\\^`|", c)
}

// path reads /v1/users/{id}: in braces stand a name of the old path, subject, or an
// expression.
func (c *messageCompiler) path(t Text) []pathPart {
	if t.Node == nil {
		return nil
	}
	if !strings.HasPrefix(t.Value, "/") {
		c.wrongAt(t.Node, "path %q must begin with a slash", t.Value)
	}
	var out []pathPart
	for rest := t.Value; rest != ""; {
		literal, after, found := strings.Cut(rest, "{")
		if _, err := url.ParseRequestURI("/" + literal); err != nil || strings.ContainsFunc(literal, mustBeEscaped) {
			c.wrongAt(t.Node, "path %q: invalid text %q: it must be escaped, without a query", t.Value, literal)
		}
		out = append(out, pathPart{literal: literal})
		if !found {
			break
		}
		inner, tail, closed := strings.Cut(after, "}")
		if !closed {
			c.wrongAt(t.Node, "path %q: a brace is not closed", t.Value)
			break
		}
		p := pathPart{literal: inner}
		source := inner
		switch name := strings.TrimSuffix(inner, "..."); {
		case name == c.in.Rest && name != "":
			p.rest, source = true, "''"
		case slices.Contains(c.in.Params, inner):
			source = `$params["` + inner + `"]`
		case inner == "subject":
			source = "$subject"
		case isName.MatchString(inner):
			c.wrongAt(t.Node, "path %q: unknown {%s}: use a name of the old path, {subject}, or an expression such as {$.id}", t.Value, inner)
			source = "''"
		}
		e, err := c.in.compile(func(c *compiler) maker { return c.expression(t.Node, source) })
		if wrong, is := errors.AsType[*yaml.SyntaxError](err); is {
			wrong.Message = fmt.Sprintf("path %q: %s", t.Value, wrong.Message)
		}
		p.value = c.keep(e, err)
		out = append(out, p)
		rest = tail
	}
	return out
}
