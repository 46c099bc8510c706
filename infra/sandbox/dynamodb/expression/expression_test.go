package expression_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
)

func binding() *expression.Binding {
	return &expression.Binding{
		Names: expression.Names{{Placeholder: "#a", Attribute: "a"}, {Placeholder: "#n", Attribute: "name"}},
		Values: attribute.Item{
			{Name: ":b", Value: attribute.Bool(true)}, {Name: ":l", Value: attribute.List([]attribute.Value{integer(1)})},
			{Name: ":n", Value: integer(1)}, {Name: ":s", Value: attribute.String("s")},
		},
	}
}

func integer(n int) attribute.Value {
	v, _ := attribute.Number(strconv.Itoa(n))
	return v
}

func sample() attribute.Item {
	return attribute.Item{
		{Name: "a", Value: integer(1)}, {Name: "l", Value: attribute.List([]attribute.Value{integer(1), attribute.String("x")})},
		{Name: "m", Value: attribute.Map(attribute.Item{{Name: "k", Value: integer(2)}})}, {Name: "name", Value: attribute.String("sample")},
	}
}

var conditions = []string{
	"a = :n", "attribute_exists(m.k) AND NOT m.k > :n OR (a <> :n)",
	"begins_with(#n, :s)",
	"((a = :n))", "a", "a = ", "(", "NOT", "a.b = :n", "#a.#n = :s", "a = :n = :n", "a.b.",
	"a[", "\"", "é = :n", "a = :n;",
}

// FuzzCondition must not panic or hang; what is accepted must be fit to be evaluated, and must
// follow the laws of NOT.
func FuzzCondition(f *testing.F) {
	for _, s := range conditions {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := expression.ParseCondition(text)
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		p, err := parsed.Bind(binding())
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		plain := p.Match(sample())
		p.Match(nil)
		_, _ = p.Key(expression.KeySchema{Hash: "a", HashKind: attribute.N})
		negated, err := expression.ParseCondition("NOT (" + text + ")")
		if err != nil {
			return // redundant parentheses, one operator or byte too many
		}
		n, err := negated.Bind(binding())
		if err != nil || n.Match(sample()) == plain {
			t.Fatalf("%q and its negation are both %v (%v)", text, plain, err)
		}
	})
}

func wantOwnError(t *testing.T, text string, err error) {
	t.Helper()
	var own expression.Error
	if !errors.As(err, &own) {
		t.Fatalf("%q: %T %v", text, err, err)
	}
}

// FuzzUpdate must not panic; it never changes the item it is given.
func FuzzUpdate(f *testing.F) {
	for _, s := range []string{
		"SET a = :n", "SET a = :n, m.k = a REMOVE l ADD z :n", "SET q = if_not_exists(q, :l)",
		"SET", "ADD a a", "SET a = :n SET b = :n", "REMOVE a.b[", "SET #a = #n",
		"SET a = if_not_exists(:n, a)", "SET m.k.j = :n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := expression.ParseUpdate(text)
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		u, err := parsed.Bind(binding())
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		it := sample()
		after, err := u.Apply(it)
		var refused attribute.ValidationError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%q: %T %v", text, err, err)
		}
		if !attribute.EqualItems(it, sample()) {
			t.Fatalf("%q changed the item it was given", text)
		}
		for i := 1; i < len(after); i++ {
			if after[i-1].Name >= after[i].Name {
				t.Fatalf("%q left the item unsorted: %s", text, after.AppendJSON(nil))
			}
		}
	})
}

func FuzzProjection(f *testing.F) {
	for _, s := range []string{"a", "a, m.k, l", "#a, #n", "a, a", "a.b, a.c", "l.x, l.x", "", ",", "a,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := expression.ParseProjection(text)
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		p, err := parsed.Bind(binding())
		if err != nil {
			wantOwnError(t, text, err)
			return
		}
		if got := p.Apply(sample()); len(got) > len(sample()) {
			t.Fatalf("%q selects %s", text, got.AppendJSON(nil))
		}
	})
}

func TestExpressionsAreBounded(t *testing.T) {
	for what, text := range map[string]string{
		"4 KB":        "a = :n" + strings.Repeat(" ", 4091),
		"operators":   "a = :n" + strings.Repeat(" OR a=:n", 301),
		"parentheses": strings.Repeat("NOT(", 500) + "a = :n" + strings.Repeat(")", 500),
	} {
		if _, err := expression.ParseCondition(text); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	longest := "a = :n" + strings.Repeat(" ", 4090)
	if _, err := expression.ParseCondition(longest); err != nil {
		t.Errorf("an expression of 4096 bytes: %v", err)
	}
}

func TestNotImplementedIsSaid(t *testing.T) {
	for text, parse := range map[string]func(text string) error{
		"a BETWEEN :n AND :n": condition, "a IN (:n)": condition, "size(a) > :n": condition, "contains(a, :s)": condition, "attribute_type(a, :s)": condition,
		"l[0] = :n": condition, "REMOVE l[0]": update, "SET a = a + :n": update, "SET a = (:n)": update,
		"DELETE a :l": update, "SET l = list_append(l, :l)": update, "SET a = a - :n": update, "SET a = size(l)": update,
	} {
		if err := parse(text); err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox: ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func condition(text string) error { _, err := expression.ParseCondition(text); return err }
func update(text string) error    { _, err := expression.ParseUpdate(text); return err }
