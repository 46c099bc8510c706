package route_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/proxy/route"
)

var update = flag.Bool("update", false, "rewrite routes.md and routes.schema.json from routefile.go")

// TestReference holds routes.md and routes.schema.json against the code.
func TestReference(t *testing.T) {
	l := parseLanguage(t)
	schema, err := json.MarshalIndent(l.schema("routeFile"), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	intro, err := os.ReadFile("testdata/routes.md.head")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"routes.md":          string(intro) + l.markdown("routeFile", ""),
		"routes.schema.json": leaves.ReplaceAllStringFunc(string(schema), func(s string) string { return lineEnds.ReplaceAllString(s, " ") }) + "\n",
	} {
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is not what routefile.go says; run go test ./proxy/route -run TestReference -update (-want +got):\n%s", name, d)
		}
	}
}

// leaves are what has nothing nested in indented JSON: a key a line reads better.
var (
	leaves   = regexp.MustCompile(`[{\[](\n +[^\n]*[^{\[\n])*?\n +[}\]]`)
	lineEnds = regexp.MustCompile(`\n *`)
)

// TestExamplesCompile: each route file in the documents compiles, and so do the
// examples of the reference, put together.
func TestExamplesCompile(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(version: 1.*?)```")
	found := 0
	for _, name := range []string{"../README.md", "routes.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks.FindAllStringSubmatch(string(text), -1) {
			found++
			if _, err := route.Compile(name, []byte(b[1]), func(string) (string, bool) {
				return "http://127.0.0.1:1/a-secret-of-32-bytes-at-least", true
			}); err != nil {
				t.Errorf("%v in\n%s", err, b[1])
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d route files were found", found)
	}
}

// language is the structs of routefile.go, by name.
type language map[string]section

type section struct {
	doc    string
	fields []field
}

// field is one key of the language.
type field struct {
	key, kind         string // kind is its Go type, without at[...]
	meaning, standard string
	example           string
	oneOf             []string
	required          bool
}

func parseLanguage(t *testing.T) language {
	t.Helper()
	out := language{}
	var decls []ast.Decl
	for _, name := range []string{"routefile.go", "../mapping/spec.go", "../subject/config.go", "../shadow/route.go",
		"../diff/rules.go", "../diff/gate.go", "../guard/budget.go", "../upstream/config.go", "../upstream/sign.go"} {
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		decls = append(decls, f.Decls...)
	}
	for _, d := range decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != gotoken.TYPE {
			continue
		}
		spec := g.Specs[0].(*ast.TypeSpec)
		s, ok := spec.Type.(*ast.StructType)
		if !ok {
			continue
		}
		sec := section{doc: g.Doc.Text()}
		for _, fd := range s.Fields.List {
			if fd.Tag == nil {
				continue
			}
			key := reflect.StructTag(strings.Trim(fd.Tag.Value, "`")).Get("yaml")
			if key == "-" || key == "" {
				continue
			}
			sec.fields = append(sec.fields, parseField(t, key, kindOf(fd.Type), fd.Doc.Text()))
		}
		if len(sec.fields) > 0 { // others, which are no part of the language, may have the same names
			out[spec.Name.Name] = sec
		}
	}
	return out
}

// kindOf is the type as written, without at[...] and pointers.
func kindOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		switch e.Name {
		case "Text":
			return "string"
		case "Duration":
			return "duration"
		}
		return e.Name
	case *ast.StarExpr:
		return kindOf(e.X)
	case *ast.IndexExpr: // at[T]
		return kindOf(e.Index)
	case *ast.SelectorExpr:
		switch e.Sel.Name {
		case "Node":
			return "template"
		case "Duration":
			return "duration"
		}
		return e.Sel.Name
	case *ast.ArrayType:
		return "[]" + kindOf(e.Elt)
	case *ast.MapType:
		return "map:" + kindOf(e.Value)
	}
	return fmt.Sprintf("%T", e)
}

var (
	defaultWords = regexp.MustCompile(`(?s) ?Default: (.*?)\.( |$)`)
	oneOfWords   = regexp.MustCompile(` ?One of: ([A-Za-z, ]+)\.`)
)

func parseField(t *testing.T, key, kind, doc string) field {
	t.Helper()
	f := field{key: key, kind: kind}
	text, example, _ := strings.Cut(doc, "Example: ")
	f.example = strings.TrimSpace(example)
	text = strings.Join(strings.Fields(text), " ")
	if m := oneOfWords.FindStringSubmatch(text); m != nil {
		f.oneOf = strings.Split(m[1], ", ")
		text = strings.Replace(text, m[0], "", 1)
	}
	if m := defaultWords.FindStringSubmatch(text); m != nil {
		f.standard = m[1]
		text = strings.Replace(text, m[0], " ", 1)
	}
	f.required = strings.Contains(text, "Required.")
	f.meaning = strings.TrimSpace(strings.Replace(text, " Required.", "", 1))
	if f.meaning == "" {
		t.Errorf("%s has no meaning", key)
	}
	return f
}

var kindNames = map[string]string{
	"int": "number", "float64": "number", "string": "text", "bool": "true or false", "duration": "duration",
	"template": "[template](../mapping/language.md)", "[]string": "list of texts",
	"map:string": "mapping of texts", "map:float64": "mapping of numbers", "map:int64": "mapping of numbers",
}

func (l language) markdown(name, path string) string {
	var b strings.Builder
	sec := l[name]
	if path != "" {
		about := strings.TrimPrefix(strings.Join(strings.Fields(sec.doc), " "), name+" ")
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", path, strings.ToUpper(about[:1])+about[1:])
	} else {
		b.WriteString("\n## The file\n")
	}
	b.WriteString("\n| key | type | default | meaning | example |\n|---|---|---|---|---|\n")
	var below strings.Builder
	for _, f := range sec.fields {
		kind, inner := kindNames[f.kind], strings.TrimPrefix(strings.TrimPrefix(f.kind, "map:"), "[]")
		standard, example := f.standard, ""
		if f.required {
			standard = "required"
		}
		if _, nested := l[inner]; nested {
			at := strings.TrimPrefix(path+"."+f.key, ".")
			switch {
			case strings.HasPrefix(f.kind, "map:"):
				at, kind = at+".NAME", "mapping"
			case strings.HasPrefix(f.kind, "[]"):
				at, kind = at+"[]", "list"
			default:
				kind = "mapping"
			}
			kind += ", see below"
			below.WriteString(l.markdown(inner, at))
		}
		if f.oneOf != nil {
			kind = "`" + strings.Join(f.oneOf, "`, `") + "`"
		}
		if f.example != "" {
			example = "`" + f.example + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.key, kind, standard, f.meaning, example)
	}
	return b.String() + below.String()
}

func (l language) schema(name string) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range l[name].fields {
		p := l.schemaOf(f.kind)
		p["description"] = f.meaning
		if f.standard != "" {
			p["description"] = f.meaning + " Default: " + f.standard + "."
		}
		if f.oneOf != nil {
			p["enum"] = f.oneOf
		}
		if f.required {
			required = append(required, f.key)
		}
		properties[f.key] = p
	}
	out := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if required != nil {
		out["required"] = required
	}
	if name == "routeFile" {
		out["$schema"], out["title"] = "https://json-schema.org/draft/2020-12/schema", "Route file of banyan-proxy"
	}
	return out
}

func (l language) schemaOf(kind string) map[string]any {
	if inner, ok := strings.CutPrefix(kind, "map:"); ok {
		return map[string]any{"type": "object", "additionalProperties": l.schemaOf(inner)}
	}
	if inner, ok := strings.CutPrefix(kind, "[]"); ok {
		return map[string]any{"type": "array", "items": l.schemaOf(inner)}
	}
	switch kind {
	case "int", "int64":
		return map[string]any{"type": "integer"}
	case "float64":
		return map[string]any{"type": "number"}
	case "bool":
		return map[string]any{"type": "boolean"}
	case "string":
		return map[string]any{"type": "string"}
	case "duration":
		return map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
	case "template":
		return map[string]any{}
	}
	return l.schema(kind)
}
