package mapping

import (
	"cmp"
	"fmt"
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A Context says where a template stands, and so what its references can be.
type Context struct {
	Answer bool     // an answer is mapped: there is a $status
	Params []string // the names of the route's path, for $params
	Rest   string   // the one of Params that ends the path, {rest...}; "": none
}

// Compile compiles a template, written in YAML. Its error is a
// *yaml.SyntaxError with the place.
func Compile(n ast.Node, in Context) (*Template, error) {
	return in.compile(func(c *compiler) maker { return c.template(n) })
}

// compile returns the mistake that part panics with.
func (in Context) compile(part func(*compiler) maker) (t *Template, err error) {
	defer func() {
		switch wrong := recover().(type) {
		case nil:
		case *yaml.SyntaxError:
			t, err = nil, wrong
		default:
			panic(wrong)
		}
	}()
	c := &compiler{in: in}
	m := part(c)
	return &Template{node: m, uses: c.uses}, nil
}

// maxDepth bounds how deeply a template is nested, and a body.
const maxDepth = 64

// A compiler makes the parts of a template. Mistakes are panics that Context.compile ends.
type compiler struct {
	in     Context
	frames []string // the names of the elements of each, the innermost last; "": none
	uses   uses
	deep   int
}

func wrongAt(n ast.Node, format string, args ...any) error {
	var t *token.Token
	if n != nil {
		t = n.GetToken()
	}
	return &yaml.SyntaxError{Message: fmt.Sprintf(format, args...), Token: t}
}

// reference checks that there is such a reference where the template stands.
func (c *compiler) reference(name string, steps []step) (expression, error) {
	for i, frame := range c.frames {
		if frame == name && name != "" {
			return &reference{root: rootNamed, up: len(c.frames) - 1 - i, steps: steps}, nil
		}
	}
	root, known := roots[name]
	e := &reference{root: root, steps: steps, answer: c.in.Answer}
	switch {
	case !known:
		return nil, fmt.Errorf("unknown reference $%s: use $.field or one of $%s, or $$ for a dollar sign",
			name, strings.ReplaceAll(strings.TrimPrefix(sortedNames(roots), ", "), ", ", ", $"))
	case root >= rootParams:
		if len(steps) != 1 {
			return nil, fmt.Errorf("$%s has one name, such as $%s.id", name, name)
		}
		e.name, e.steps = steps[0].name, nil
		if root == rootHeader {
			e.name = textproto.CanonicalMIMEHeaderKey(e.name)
		}
		if root == rootParams && !slices.Contains(c.in.Params, e.name) {
			return nil, fmt.Errorf("$params.%s: the route's path has no {%s}", e.name, e.name)
		}
		return e, nil
	case root >= rootIndex && len(steps) > 0:
		return nil, fmt.Errorf("$%s has nothing inside", name)
	case root == rootStatus && !c.in.Answer:
		return nil, fmt.Errorf("$status is that of an answer: a request has none")
	case (root == rootIndex || root == rootKey) && len(c.frames) == 0:
		return nil, fmt.Errorf("$%s is only inside each", name)
	case root == rootRequest:
		if c.uses |= usesRequest; !c.in.Answer {
			c.uses |= usesBody
		}
	case root == rootWhole, root == rootText, root == rootBody && len(c.frames) == 0:
		c.uses |= usesBody
	}
	return e, nil
}

func (c *compiler) template(n ast.Node) maker {
	if c.deep++; c.deep > maxDepth {
		panic(wrongAt(n, "the template is nested over %d levels deep", maxDepth))
	}
	defer func() { c.deep-- }()
	if values, ok := membersOf(n); ok {
		return c.mapping(n, values)
	}
	switch n := n.(type) {
	case *ast.AnchorNode:
		return c.template(n.Value)
	case *ast.SequenceNode:
		out := make(elements, len(n.Values))
		for i, v := range n.Values {
			out[i] = c.template(v)
		}
		return out
	}
	return c.scalar(n)
}

// looksLikeReference finds a reference behind the beginning of a text, where it would be
// taken as it is written.
var looksLikeReference = regexp.MustCompile(`.\$(\.\w|(params|query|header|cookie|request|root)[.\[]|(subject|status|text|index|key)\b)`)

// scalar compiles a text, number, boolean or null.
func (c *compiler) scalar(n ast.Node) expression {
	var v any
	switch n := n.(type) {
	case nil:
		panic(wrongAt(n, "a value is missing"))
	case *ast.StringNode:
		if n.Token.Type == token.StringType && n.Value != "" && numberLength(n.Value) == len(n.Value) {
			return constant{numberValue(n.Value)} // one that the library takes for too large
		}
		return c.text(n, n.Value)
	case *ast.LiteralNode:
		return c.text(n, n.Value.Value)
	case *ast.NullNode:
		return constant{value{kind: null}}
	case *ast.BoolNode:
		return constant{booleanValue(n.Value)}
	case *ast.IntegerNode:
		v = n.Value
	case *ast.FloatNode:
		v = n.Value
	default:
		panic(wrongAt(n, "invalid value %q: a template has no aliases, tags and infinities", n.String()))
	}
	digits := n.GetToken().Value // as written, such as 1.50
	if numberLength(digits) != len(digits) {
		digits = fmt.Sprint(v) // such as 0x10
	}
	return constant{numberValue(digits)}
}

func (c *compiler) text(n ast.Node, s string) expression {
	switch {
	case strings.HasPrefix(s, "$$"):
		s = s[1:]
	case strings.HasPrefix(s, "$"):
		return c.expression(n, s)
	case strings.Contains(s, "$") && looksLikeReference.MatchString(s):
		panic(wrongAt(n, "the text %q has a reference inside, which would not be replaced: "+
			"write {from: ...} for an expression, {from: \"'...'\"} for the text as it is", s))
	}
	return constant{textValue(s)}
}

// condition compiles a text that is an expression, whatever it begins with.
func (c *compiler) condition(n ast.Node) expression {
	switch n := n.(type) {
	case *ast.StringNode:
		return c.expression(n, n.Value)
	case *ast.LiteralNode:
		return c.expression(n, n.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return c.expression(n, n.GetToken().Value)
	}
	panic(wrongAt(n, "invalid expression: it must be a text such as $.id"))
}

// keysOf are the keys that a mapping has beside the one that says what it is.
var keysOf = map[string]string{
	"from": "convert, map, without, with, default, or", "each": "as, name, key, default, or", "when": "then, else", "object": "",
}

func (c *compiler) mapping(n ast.Node, values []*ast.MappingValueNode) maker {
	what := ""
	keys := map[string]ast.Node{}
	for _, v := range values {
		name := keyOf(v)
		if _, ok := keysOf[name]; ok && what == "" {
			what = name
		}
		keys[name] = v.Value
	}
	if what == "" {
		return c.members(values)
	}
	allowed := strings.Split(keysOf[what], ", ")
	for _, v := range values {
		if name := keyOf(v); name != what && !slices.Contains(allowed, name) {
			panic(wrongAt(v.Key, "unknown key %q beside %s: it may have %s; for an object with a member %q write {object: {%s: ...}}",
				name, what, cmp.Or(keysOf[what], "none"), what, what))
		}
	}
	switch what {
	case "each":
		return c.each(n, keys)
	case "from":
		return c.from(keys)
	case "when":
		return c.when(n, keys)
	}
	if inner, ok := membersOf(keys["object"]); ok {
		return c.members(inner)
	}
	panic(wrongAt(n, "object must have the object's members; for an object with a member %q write {object: {object: ...}}", what))
}

func readKey(v *ast.MappingValueNode) (string, error) {
	switch v.Key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return v.Key.GetToken().Value, nil
	}
	return "", wrongAt(v.Key, "invalid key %q: it must be a text", v.Key.String())
}

// keyOf is readKey in a compiler.
func keyOf(v *ast.MappingValueNode) string {
	name, err := readKey(v)
	if err != nil {
		panic(err)
	}
	return name
}

// membersOf are the members of a node that is a mapping.
func membersOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (c *compiler) members(values []*ast.MappingValueNode) members {
	out := make(members, len(values))
	for i, v := range values {
		out[i] = memberOf{string(appendText(nil, keyOf(v))) + ":", c.template(v.Value)}
	}
	return out
}

// optional is the template of a key, nil where it is not there.
func (c *compiler) optional(keys map[string]ast.Node, key string) maker {
	if n, ok := keys[key]; ok {
		return c.template(n)
	}
	return nil
}

func (c *compiler) otherwise(keys map[string]ast.Node) otherwise {
	absent, null := c.optional(keys, "default"), c.optional(keys, "or")
	if absent == nil {
		absent = null
	}
	return otherwise{absent, null}
}

func (c *compiler) each(n ast.Node, keys map[string]ast.Node) maker {
	if keys["as"] == nil {
		panic(wrongAt(n, "each needs as: what is made of an element; for an object with a member \"each\" write {object: {each: ...}}"))
	}
	e := &each{of: c.condition(keys["each"]), rest: c.otherwise(keys)}
	name := ""
	if nn := keys["name"]; nn != nil {
		if err := yaml.NodeToValue(nn, &name); err != nil || !isName.MatchString(name) {
			panic(wrongAt(nn, "invalid name %q: it must be letters and digits", nn.String()))
		}
		if _, known := roots[name]; known || slices.Contains(c.frames, name) {
			panic(wrongAt(nn, "the name %q is used already", name))
		}
	}
	c.frames = append(c.frames, name)
	defer func() { c.frames = c.frames[:len(c.frames)-1] }()
	if k, ok := keys["key"]; ok {
		e.key = c.condition(k)
	}
	e.as = c.template(keys["as"])
	return e
}

var isName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)

func (c *compiler) from(keys map[string]ast.Node) maker {
	f := &from{of: c.condition(keys["from"]), rest: c.otherwise(keys)}
	if n, ok := keys["convert"]; ok {
		var name string
		if err := yaml.NodeToValue(n, &name); err != nil {
			panic(wrongAt(n, "invalid conversion %q: it must be a name", n.String()))
		}
		if f.convert = functions[name]; f.convert == nil || f.convert.min > 1 {
			panic(wrongAt(n, "unknown conversion %q: use one of the functions of one value: %s", name, sortedNames(functions)))
		}
	}
	if n, ok := keys["map"]; ok {
		f.table = c.table(n)
	}
	c.changes(f, keys)
	return f
}

// changes compiles without and with.
func (c *compiler) changes(f *from, keys map[string]ast.Node) {
	if n, ok := keys["without"]; ok {
		if err := yaml.NodeToValue(n, &f.without); err != nil {
			panic(wrongAt(n, "without must be a list of members' names"))
		}
		f.changes = true
	}
	if n, ok := keys["with"]; ok {
		values, ok := membersOf(n)
		if !ok {
			panic(wrongAt(n, "with must have the members to set"))
		}
		f.with = c.members(values)
		for _, v := range values {
			f.without = append(f.without, keyOf(v))
		}
		f.changes = true
	}
	if f.changes && (f.convert != nil || f.table != nil) {
		panic(wrongAt(keys["from"], "with and without are of an object: they cannot be combined with convert and map"))
	}
}

func (c *compiler) table(n ast.Node) map[string]maker {
	values, ok := membersOf(n)
	if !ok {
		panic(wrongAt(n, "map must be a table of values, such as {404: not_found}"))
	}
	out := map[string]maker{}
	for _, v := range values {
		out[keyOf(v)] = c.template(v.Value)
	}
	return out
}

func (c *compiler) when(n ast.Node, keys map[string]ast.Node) maker {
	if keys["then"] == nil {
		panic(wrongAt(n, "when needs then: the value where the condition is true; for an object with a member \"when\" write {object: {when: ...}}"))
	}
	return &when{c.condition(keys["when"]), c.template(keys["then"]), c.optional(keys, "else")}
}
