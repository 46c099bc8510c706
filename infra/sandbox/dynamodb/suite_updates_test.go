package dynamodb_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) updates(t *testing.T) {
	t.Run("change what they say", s.goodUpdates)
	t.Run("are refused", s.badUpdates)
	t.Run("make an item", s.upserts)
	t.Run("return what they changed", s.updateReturns)
	t.Run("add up", s.sums)
}

// before is the item that updates are tested on.
func before() item {
	return item{"pk": str("a"), "n": num("5"), "s": str("hello"), "l": list(num("0"), num("1"), num("2"), num("3")),
		"m": members(item{"k": num("1"), "deep": members(item{})}), "name": str("x")}
}

func (s *suite) update(t *testing.T, table, expression string) (*dynamodb.UpdateItemOutput, error) {
	t.Helper()
	return s.client.UpdateItem(contextOf(t), &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")}, UpdateExpression: &expression,
		ExpressionAttributeValues: values(placeholders, &expression), ExpressionAttributeNames: names(expression)})
}

func (s *suite) goodUpdates(t *testing.T) {
	table := s.table(t, spec{})
	for expression, want := range map[string]item{
		"SET n = :one":                   {"n": num("1")},
		"SET q = if_not_exists(n, :one)": {"q": num("5")},
		"SET q = if_not_exists(z, n)":    {"q": num("5")},
		"SET m.k = :two, m.z = :a":       {"m": members(item{"k": num("2"), "z": str("a"), "deep": members(item{})})},
		"SET m.deep.x = :m":              {"m": members(item{"k": num("1"), "deep": members(item{"x": members(item{"k": str("v")})})})},
		"REMOVE m.k":                     {"m": members(item{"deep": members(item{})})},
		"REMOVE m.z, zz":                 {},
		"SET #name = :b, #n = :one":      {"name": str("b"), "n": num("1")},
		"SET #dotted = :one":             {"a.b": num("1")},
		"SET m.#k = :ten":                {"m": members(item{"k": num("10"), "deep": members(item{})})},
		"SET s = n, n = s":               {"s": num("5"), "n": str("hello")},
		"ADD n :five":                    {"n": num("10")},
		"ADD q :five":                    {"q": num("5")},
		"ADD m.k :one":                   {"m": members(item{"k": num("2"), "deep": members(item{})})},
		"REMOVE s SET n = :one":          {"n": num("1"), "s": nil},
	} {
		s.put(t, table, before())
		if _, err := s.update(t, table, expression); err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		after := with(before(), want)
		for k, v := range after {
			if v == nil {
				delete(after, k)
			}
		}
		if got := s.get(t, table, item{"pk": str("a")}); show(got) != show(after) {
			t.Errorf("%s\ngot  %s\nwant %s", expression, show(got), show(after))
		}
	}
}

func (s *suite) badUpdates(t *testing.T) {
	table := s.table(t, spec{})
	s.put(t, table, before())
	const (
		path    = "The document path provided in the update expression is invalid for update"
		missing = "The provided expression refers to an attribute that does not exist in the item"
		operand = "An operand in the update expression has an incorrect data type"
	)
	for expression, words := range map[string]string{
		"":                               "Invalid UpdateExpression: The expression can not be empty;",
		"SET n":                          `Invalid UpdateExpression: Syntax error; token: "<EOF>", near: "n"`,
		"FROB n":                         `Syntax error; token: "FROB", near: "FROB n"`,
		"SET n = :one s":                 `Syntax error; token: "s", near: ":one s"`,
		"SET n = :one,":                  `Syntax error; token: "<EOF>", near: ","`,
		"SET n = 5":                      `Syntax error; token: "5", near: "= 5"`,
		"SET a-b = :one":                 `Syntax error; token: "-", near: "a-b"`,
		"REMOVE":                         `Syntax error; token: "<EOF>", near: "REMOVE"`,
		"SET n = :one SET s = :a":        `The "SET" section can only be used once in an update expression;`,
		"SET n = :one, #n = :two":        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]",
		"SET m = :m, m.k = :one":         "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m], path two: [m, k]",
		"SET name = :a":                  "Attribute name is a reserved keyword; reserved keyword: name",
		"SET n = :nowhere":               "An expression attribute value used in expression is not defined; attribute value: :nowhere",
		"SET pk = :a":                    "Cannot update attribute pk. This attribute is part of the key",
		"REMOVE pk":                      "Cannot update attribute pk. This attribute is part of the key",
		"SET n = frob(s)":                "Invalid function name; function: frob",
		"SET n = if_not_exists(n)":       "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1",
		"SET n = if_not_exists(:one, n)": "Operator or function requires a document path; operator or function: if_not_exists",
		"ADD n :a":                       "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
		"SET n = z":                      missing,
		"ADD s :one":                     operand,
		"SET z.k = :one":                 path,
		"SET s.k = :one":                 path,
		"SET m.z.k = :one":               path,
		"REMOVE z.k":                     path,
		"REMOVE m.z.k":                   path,
		"ADD z.k :one":                   path,
	} {
		t.Run(expression, func(t *testing.T) {
			_, err := s.update(t, table, expression)
			wantError(t, err, validation, words)
		})
	}
	wantItem(t, s.get(t, table, item{"pk": str("a")}), before())
}

func (s *suite) upserts(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "N"})
	for i, expression := range []*string{nil, aws.String("REMOVE x"), aws.String("ADD n :one")} {
		k := item{"pk": str("a"), "sk": num(string(rune('0' + i)))}
		_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: k, UpdateExpression: expression,
			ExpressionAttributeValues: values(placeholders, expression)})
		if err != nil {
			t.Fatal(err)
		}
		want := k
		if i == 2 {
			want = with(k, item{"n": num("1")})
		}
		wantItem(t, s.get(t, table, k), want)
	}
}

func (s *suite) updateReturns(t *testing.T) {
	table := s.table(t, spec{})
	after := with(before(), item{"n": num("1"), "q": num("2")})
	delete(after, "s")
	for kind, want := range map[types.ReturnValue]item{
		types.ReturnValueNone:   nil,
		types.ReturnValueAllOld: before(),
		types.ReturnValueAllNew: after,
	} {
		s.put(t, table, before())
		out, err := s.client.UpdateItem(contextOf(t), &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")}, ReturnValues: kind,
			UpdateExpression: aws.String("SET n = :one, q = :two REMOVE s"), ExpressionAttributeValues: item{":one": num("1"), ":two": num("2")}})
		if err != nil {
			t.Fatal(err)
		}
		if show(out.Attributes) != show(want) {
			t.Errorf("%s: got %s, want %s", kind, show(out.Attributes), show(want))
		}
	}
}

func (s *suite) sums(t *testing.T) {
	table := s.table(t, spec{})
	for _, c := range []struct{ a, b, sum string }{{"-5", "5", "0"}, {"9007199254740993", "2", "9007199254740995"}} {
		s.put(t, table, item{"pk": str("a"), "n": num(c.a)})
		out, err := s.client.UpdateItem(contextOf(t), &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")},
			UpdateExpression: aws.String("ADD n :b"), ExpressionAttributeValues: item{":b": num(c.b)}, ReturnValues: types.ReturnValueAllNew})
		if err != nil {
			t.Errorf("%s + %s: %v", c.a, c.b, err)
			continue
		}
		wantItem(t, out.Attributes, item{"pk": str("a"), "n": num(c.sum)})
	}
}
