package dynamodb_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// as finds an error of the type, or ends the test.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var out E
	if !errors.As(err, &out) {
		t.Fatalf("got %v, want a %T", err, out)
	}
	return out
}

var placeholders = item{":one": num("1"), ":less": num("-1"), ":two": num("2"), ":five": num("5"), ":ten": num("10"), ":a": str("a"),
	":b": str("b"), ":he": str("he"), ":hello": str("hello"),
	":l": list(num("7")), ":true": boolean(true), ":null": null(),
	":m": members(item{"k": str("v")}), ":bin": bin("he")}

// sample is the item that conditions are tested on.
func sample() item {
	return item{"pk": str("a"), "n": num("5"), "n2": num("5.0"), "s": str("hello"), "t": str("zoo"), "b": bin("hello"), "yes": boolean(true), "nu": null(),
		"l": list(num("1"), str("a"), members(item{"deep": num("5")})), "m": members(item{"k": str("v"), "n": num("9")}), "a.b": str("dotted"),
		"name": str("reserved")}
}

func (s *suite) conditions(t *testing.T) {
	table := s.table(t, spec{})
	s.put(t, table, sample())
	check := func(condition string) error {
		in := &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")}, ConditionExpression: &condition,
			ExpressionAttributeValues: values(placeholders, &condition)}
		in.ExpressionAttributeNames = names(condition)
		_, err := s.client.UpdateItem(contextOf(t), in)
		return err
	}
	for condition, want := range map[string]bool{
		"n = :five": true, "n2 = n": true, "n = :one": false, "n <> :one": true, "missing1 = :one": false, "missing1 <> :one": true, "missing1 = missing2": false,
		"n < :ten": true, "n > :ten": false, "n <= :five": true, "n >= :five": true, "s < :b": false, "n < :a": false, "missing1 < :one": false, ":five = n": true,
		"attribute_exists(n)": true, "attribute_exists(m.k)": true, "attribute_exists(m.z)": false,
		"attribute_not_exists(missing1)": true, "attribute_not_exists(nu)": false,
		"begins_with(s, :he)": true, "begins_with(t, :he)": false,
		"begins_with(b, :bin)": true, "begins_with(n, :he)": false,
		"NOT n = :one": true, "NOT (n = :five OR s = :a)": false, "n = :one OR n = :five AND s = :hello": true,
		"(n = :one OR n = :five) AND s = :a": false, "n = :five OR n = :one AND s = :a": true, "NOT n = :five AND s = :hello": false, "NOT NOT n = :five": true,
		"m.k = :a": false, "m.n > :five": true, "l.x = :one": false,
		"#dotted = :a": false, "attribute_exists(#dotted)": true, "#n = :five": true, "m.#k <> :one": true, "#name <> :a": true,
		"yes = :true": true, "nu = :null": true, "m . k <> :one": true, "n\n=\t:five": true, "yes = :one": false,
	} {
		err := check(condition)
		if want && err != nil {
			t.Errorf("%s: %v, want it to hold", condition, err)
		}
		var failed *types.ConditionalCheckFailedException
		if !want && !errors.As(err, &failed) {
			t.Errorf("%s: %v, want it not to hold", condition, err)
		}
	}
	for condition, words := range badConditions {
		t.Run(condition, func(t *testing.T) { wantError(t, check(condition), validation, words) })
	}
	t.Run("unused placeholders", func(t *testing.T) { s.unusedPlaceholders(t, table) })
}

// names are the attribute names that the suite's expressions use.
func names(expressions ...string) map[string]string {
	all := map[string]string{"#dotted": "a.b", "#n": "n", "#k": "k", "#name": "name"}
	out := map[string]string{}
	for placeholder, name := range all {
		for _, e := range expressions {
			if values(item{placeholder: null()}, &e) != nil {
				out[placeholder] = name
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

var badConditions = map[string]string{
	"n":                      `Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "n"`,
	"n = ":                   `Syntax error; token: "<EOF>", near: "= "`,
	"n == :one":              `Syntax error; token: "=", near: "== :one"`,
	"n != :one":              `Syntax error; token: "!", near: "n !="`,
	"n = :one AND":           `Syntax error; token: "<EOF>", near: "AND"`,
	"(n = :one":              `Syntax error; token: "<EOF>", near: ":one"`,
	"n = :one = :two":        `Syntax error; token: "=", near: ":one = :two"`,
	"n & s":                  `Syntax error; token: "&", near: "n & s"`,
	"((n = :one))":           "Invalid ConditionExpression: The expression has redundant parentheses;",
	"name = :a":              "Invalid ConditionExpression: Attribute name is a reserved keyword; reserved keyword: name",
	"n = :undefined":         "An expression attribute value used in expression is not defined; attribute value: :undefined",
	"#undefined = :one":      "An expression attribute name used in the document path is not defined; attribute name: #undefined",
	"frobnicate(n)":          "Invalid function name; function: frobnicate",
	"ATTRIBUTE_EXISTS(n)":    "Invalid function name; function: ATTRIBUTE_EXISTS",
	"begins_with(n)":         "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
	"begins_with(n, :one)":   "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
	"attribute_exists(:one)": "Operator or function requires a document path; operator or function: attribute_exists",
	"n < :l":                 "Incorrect operand type for operator or function; operator or function: <, operand type: L",
	"n = n":                  "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [n]",
	"if_not_exists(n, :one)": "The function is not allowed in a condition expression; function: if_not_exists",
}

func (s *suite) unusedPlaceholders(t *testing.T, table string) {
	in := &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")}, ConditionExpression: aws.String("n = :five"),
		ExpressionAttributeValues: item{":five": num("5"), ":x": null()}}
	_, err := s.client.UpdateItem(contextOf(t), in)
	wantError(t, err, validation, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:x}")
	delete(in.ExpressionAttributeValues, ":x")
	in.ExpressionAttributeNames = map[string]string{"#x": "x"}
	_, err = s.client.UpdateItem(contextOf(t), in)
	wantError(t, err, validation, "Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}")
	in.ExpressionAttributeNames = map[string]string{"x": "x"}
	_, err = s.client.UpdateItem(contextOf(t), in)
	wantError(t, err, validation, `ExpressionAttributeNames contains invalid key: Syntax error; key: "x"`)
	_, err = s.client.GetItem(contextOf(t), &dynamodb.GetItemInput{TableName: &table, Key: item{"pk": str("a")},
		ExpressionAttributeNames: map[string]string{"#x": "x"}})
	wantError(t, err, validation, "ExpressionAttributeNames can only be specified when using expressions")
	in = &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")}, ConditionExpression: aws.String("")}
	_, err = s.client.UpdateItem(contextOf(t), in)
	wantError(t, err, validation, "Invalid ConditionExpression: The expression can not be empty;")
}

func (s *suite) projections(t *testing.T) {
	table := s.table(t, spec{})
	s.put(t, table, sample())
	read := func(projection string) (item, error) {
		out, err := s.client.GetItem(contextOf(t), &dynamodb.GetItemInput{TableName: &table, Key: item{"pk": str("a")},
			ProjectionExpression: &projection, ExpressionAttributeNames: names(projection)})
		if err != nil {
			return nil, err
		}
		return out.Item, nil
	}
	for projection, want := range map[string]item{
		"pk":          {"pk": str("a")},
		"n, missing1": {"n": num("5")},
		"m.k":         {"m": members(item{"k": str("v")})},
		"m.k, m.n":    {"m": members(item{"k": str("v"), "n": num("9")})},
		"m.z":         {},
		"#dotted":     {"a.b": str("dotted")},
		"#name, #n":   {"name": str("reserved"), "n": num("5")},
		"s.x":         {},
	} {
		got, err := read(projection)
		if err != nil {
			t.Errorf("%s: %v", projection, err)
			continue
		}
		wantItem(t, got, want)
	}
	for projection, words := range map[string]string{
		"m, m.k": "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; " +
			"path one: [m], path two: [m, k]",
		"n, #n": "Two document paths overlap with each other",
		"name":  "Attribute name is a reserved keyword; reserved keyword: name",
		"n,":    `Syntax error; token: "<EOF>", near: ","`,
		"n s":   `Syntax error; token: "s", near: "n s"`,
		"":      "Invalid ProjectionExpression: The expression can not be empty;",
	} {
		_, err := read(projection)
		wantError(t, err, validation, words)
	}
}
