package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/social/plans"
)

var update = flag.Bool("update", false, "write plan.schema.json and plan.md anew")

// TestReferences: the schema and the reference are what the types of a plan and their
// comments say.
func TestReferences(t *testing.T) {
	s := reflectSchema(t)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	mustEqualFile(t, "plan.schema.json", append(text, '\n'))
	mustEqualFile(t, "plan.md", renderReference(s))
}

// TestSchema: the schema accepts the plans that are shipped and refuses what Parse does.
func TestSchema(t *testing.T) {
	document, err := validator.UnmarshalJSON(bytes.NewReader(plan.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("plan.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("plan.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	const good = "entity: users\nsource: {collection: users}\ntarget:\n  table: users\n"
	for name, c := range map[string]struct {
		text string
		fits bool
	}{
		"users":         {string(plans.Users), true},
		"relationships": {string(plans.Relationships), true},
		"posts":         {string(plans.Posts), true},
		"smallest":      {good, true},
		"int64 key":     {good + "  key: {type: int64}\n", true},
		"unknown key":   {good + "sauce: 1\n", false},
		"type of a key": {good + "  key: {type: decimal128}\n", false},
		"no table":      {"entity: users\nsource: {collection: users}\ntarget: {}\n", false},
		"duration":      {good + "budgets: {hold: soon}\n", false},
		"acknowledge":   {good + "acknowledge: [collation, 'ttl:at_1']\n", true},
		"same twice":    {good + "acknowledge: [collation, collation]\n", false},
		"no name":       {good + "acknowledge: ['']\n", false},
		"short table":   {good + "unique: [{field: a, table: b}]\n", false},
	} {
		var value any
		if err := yaml.Unmarshal([]byte(c.text), &value); err != nil {
			t.Fatal(err)
		}
		_, parseErr := plan.Parse(name, []byte(c.text))
		if err := schema.Validate(value); (err == nil) != c.fits || (parseErr == nil) != c.fits {
			t.Errorf("%s: the schema says %v, Parse says %v", name, err, parseErr)
		}
	}
}

func mustEqualFile(t *testing.T, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the types say (%v): run go test ./migrate/plan -update", file, err)
	}
}

func reflectSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	r := &jsonschema.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Mapper: durationSchema}
	if err := r.AddGoComments("github.com/banyan-fig/banyan/migrate/plan", "./", jsonschema.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	for name, comment := range r.CommentMap {
		r.CommentMap[name] = withoutName(comment)
	}
	s := r.Reflect(&plan.Plan{})
	s.ID, s.Title = "", "Banyan entity plan"
	return s
}

// withoutName makes "Hold is the longest hold" of a Go comment "The longest hold".
func withoutName(comment string) string {
	words := strings.Fields(comment)
	if len(words) < 2 {
		return comment
	}
	if words = words[1:]; words[0] == "is" || words[0] == "are" {
		words = words[1:]
	}
	text := strings.Join(words, " ")
	return strings.ToUpper(text[:1]) + text[1:]
}

// duration is the pattern of a budget that is a time.
const duration = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

func durationSchema(t reflect.Type) *jsonschema.Schema {
	if t != reflect.TypeFor[time.Duration]() {
		return nil
	}
	return &jsonschema.Schema{Type: "string", Pattern: duration}
}

// renderReference writes one table for each part of the plan.
func renderReference(s *jsonschema.Schema) []byte {
	var out bytes.Buffer
	out.WriteString("<!-- Made from the types in plan.go: go test ./migrate/plan -update -->\n# The entity plan\n\n" +
		"A plan is one YAML document. `banyan-migrate schema` prints its JSON Schema: save it beside the plan, and\n" +
		"begin the plan with `# yaml-language-server: $schema=plan.schema.json`, so that editors check and complete it.\n")
	renderPart(&out, s, "Plan", "")
	return out.Bytes()
}

func renderPart(out *bytes.Buffer, s *jsonschema.Schema, name, path string) {
	part := s.Definitions[name]
	heading := "Top level"
	if path != "" {
		heading = "`" + path + "`"
	}
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n| key | type | default | meaning |\n|---|---|---|---|\n", heading, part.Description)
	type nested struct{ name, path string }
	var parts []nested
	for p := part.Properties.Oldest(); p != nil; p = p.Next() {
		kind, ref := p.Value.Type, p.Value.Ref
		sub := nested{path: strings.TrimPrefix(path+"."+p.Key, ".")}
		switch {
		case kind == "array":
			kind, ref, sub.path = "list", p.Value.Items.Ref, sub.path+"[]"
		case ref != "":
			kind = "map"
		}
		if ref != "" {
			sub.name = ref[strings.LastIndex(ref, "/")+1:]
			parts = append(parts, sub)
		}
		if p.Value.Pattern == duration {
			kind = "duration"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s%s |\n", p.Key, kind, defaultOf(part, p.Key, p.Value), p.Value.Description, oneOf(p.Value))
	}
	for _, sub := range parts {
		renderPart(out, s, sub.name, sub.path)
	}
}

func defaultOf(part *jsonschema.Schema, key string, s *jsonschema.Schema) string {
	for _, name := range part.Required {
		if name == key {
			return "required"
		}
	}
	if s.Default == nil {
		return ""
	}
	return fmt.Sprintf("`%v`", s.Default)
}

func oneOf(s *jsonschema.Schema) string {
	var values []string
	for _, v := range s.Enum {
		values = append(values, fmt.Sprintf("`%v`", v))
	}
	if len(values) < 2 {
		return ""
	}
	return " One of " + strings.Join(values, ", ") + "."
}
