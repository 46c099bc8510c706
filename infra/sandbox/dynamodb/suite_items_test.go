package dynamodb_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// eventually waits up to half a minute for something that may take its time.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("in vain waited until %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// everything is an item with a value of every type.
func everything(pk string) item {
	return item{"pk": str(pk), "s": str("é \" \\ \n \x00 😀"), "empty": str(""), "n": num("-12.5"), "b": bin("\x00\xff"), "nothing": bin(""),
		"t": boolean(true), "f": boolean(false), "null": null(), "l": list(str("x"), num("1"), list()), "m": members(item{"a.b": num("1"), "#": members(item{})})}
}

func (s *suite) items(t *testing.T) {
	t.Run("of every type come back", s.roundTrip)
	t.Run("return what they were", s.returnValues)
	t.Run("are refused when ill-formed", s.badItems)
	t.Run("are refused with wrong keys", s.badKeys)
	t.Run("conditional writes fail with the item", s.failedCondition)
	t.Run("delete", s.deleteTwice)
}

func (s *suite) roundTrip(t *testing.T) {
	table := s.table(t, spec{})
	want := everything("a")
	s.put(t, table, want)
	wantItem(t, s.get(t, table, item{"pk": str("a")}), want)
	if got := s.get(t, table, item{"pk": str("b")}); got != nil {
		t.Errorf("an item that is not there: %s", show(got))
	}
}

func (s *suite) returnValues(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	first, second := item{"pk": str("a"), "x": num("1")}, item{"pk": str("a"), "y": num("2")}
	put := func(it item) item {
		out, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: it, ReturnValues: types.ReturnValueAllOld})
		if err != nil {
			t.Fatal(err)
		}
		return out.Attributes
	}
	wantItem(t, put(first), nil)
	wantItem(t, put(second), first)
	out, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"pk": str("a")}, ReturnValues: types.ReturnValueAllOld})
	if err != nil {
		t.Fatal(err)
	}
	wantItem(t, out.Attributes, second)
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: first, ReturnValues: types.ReturnValueAllNew})
	wantError(t, err, validation, "Return values set to invalid value")
}

func (s *suite) badItems(t *testing.T) {
	table := s.table(t, spec{})
	for what, c := range map[string]struct {
		value types.AttributeValue
		words string
	}{
		"false null":          {&types.AttributeValueMemberNULL{Value: false}, "Null attribute value types must have the value of true"},
		"no number":           {num("twelve"), ""},
		"empty number":        {num(""), ""},
		"NaN":                 {num("NaN"), ""},
		"too deep":            {nested(32), "Nesting Levels have exceeded supported limits"},
		"long name inside":    {members(item{strings.Repeat("n", 65_536): str("x")}), "Attribute name is too large"},
		"bad inside":          {list(members(item{"x": num("1e")})), ""},
		"hexadecimal":         {num("0x1F"), ""},
		"space around number": {num(" 1"), ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.client.PutItem(contextOf(t), &dynamodb.PutItemInput{TableName: &table, Item: item{"pk": str("a"), "x": c.value}})
			wantError(t, err, validation, c.words)
		})
	}
	s.put(t, table, item{"pk": str("a"), "x": nested(31)})
}

// nested is a scalar in so many maps.
func nested(n int) types.AttributeValue {
	v := str("x")
	for range n {
		v = members(item{"a": v})
	}
	return v
}

func (s *suite) badKeys(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "S"})
	for what, k := range map[string]item{
		"no sort key":       {"pk": str("a")},
		"no partition key":  {"sk": str("a")},
		"wrong type":        {"pk": str("a"), "sk": num("1")},
		"empty string":      key("a", ""),
		"another attribute": {"pk": str("a"), "q": str("b")},
		"long hash key":     key(strings.Repeat("x", 2049), "a"),
		"long sort key":     key("a", strings.Repeat("x", 1025)),
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: k})
			wantError(t, err, validation)
			_, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: k})
			wantError(t, err, validation)
			_, err = s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: k})
			wantError(t, err, validation)
			_, err = s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: k})
			wantError(t, err, validation)
		})
	}
	_, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: with(key("a", "b"), item{"x": str("y")})})
	wantError(t, err, validation)
	s.put(t, table, key(strings.Repeat("x", 2048), strings.Repeat("y", 1024)))
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: key("a", "")})
	wantError(t, err, validation, "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "+
		"empty string value. Key: sk")
}

func (s *suite) failedCondition(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	stored := item{"pk": str("a"), "x": num("1")}
	s.put(t, table, stored)
	in := &dynamodb.PutItemInput{TableName: &table, Item: item{"pk": str("a")}, ConditionExpression: aws.String("attribute_not_exists(pk)")}
	_, err := s.client.PutItem(ctx, in)
	wantError(t, err, "ConditionalCheckFailedException", "The conditional request failed")
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	_, err = s.client.PutItem(ctx, in)
	failed := as[*types.ConditionalCheckFailedException](t, err)
	wantItem(t, failed.Item, stored)
	wantItem(t, s.get(t, table, item{"pk": str("a")}), stored)
	_, err = s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"pk": str("none")},
		ConditionExpression: aws.String("attribute_exists(pk)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
	failed = as[*types.ConditionalCheckFailedException](t, err)
	wantItem(t, failed.Item, nil)
}

func (s *suite) deleteTwice(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	s.put(t, table, item{"pk": str("a")})
	for range 2 {
		if _, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: item{"pk": str("a")}}); err != nil {
			t.Fatal(err)
		}
	}
	wantItem(t, s.get(t, table, item{"pk": str("a")}), nil)
}

func (s *suite) numbers(t *testing.T) {
	table := s.table(t, spec{})
	for given, want := range map[string]string{
		"0": "0", "-0.0": "0", "00": "0", "0010.500": "10.5", "1e2": "100", "1E-3": "0.001", "+7": "7", ".5": "0.5", "5.": "5",
		"-1.20e1": "-12", "99999999999999999999999999999999999999": "99999999999999999999999999999999999999",
		"1e125": "1" + strings.Repeat("0", 125), "1e-130": "0." + strings.Repeat("0", 129) + "1",
		"123456789012345678901234567890123456780": "123456789012345678901234567890123456780",
	} {
		s.put(t, table, item{"pk": str("a"), "n": num(given)})
		wantItem(t, s.get(t, table, item{"pk": str("a")}), item{"pk": str("a"), "n": num(want)})
	}
	for bad, words := range map[string]string{
		"1e126":  "Number overflow. Attempting to store a number with magnitude larger than supported range",
		"1e-131": "Number underflow. Attempting to store a number with magnitude smaller than supported range",
		"123456789012345678901234567890123456789": "38", "1.23456789012345678901234567890123456789": "38", "1e": "", "--1": "", "1.2.3": "",
	} {
		_, err := s.client.PutItem(contextOf(t), &dynamodb.PutItemInput{TableName: &table, Item: item{"pk": str("a"), "n": num(bad)}})
		wantError(t, err, validation, words)
	}
}

func (s *suite) limits(t *testing.T) {
	table := s.table(t, spec{})
	for what, fill := range map[string]struct {
		attributes item
		size       int // of the attributes with their names
	}{
		"text":         {item{}, 0},
		"umlauts":      {item{"ö": str("ä")}, 4},
		"list and map": {item{"l": list(str("ab"), null()), "m": members(item{"k": boolean(true)})}, 1 + 3 + 2 + 3 + 1 + 3 + 1 + 2},
		"binary":       {item{"b": bin("abc")}, 4},
	} {
		t.Run(what, func(t *testing.T) {
			const most = 400 << 10
			rest := most - fill.size - len("pk") - len("a") - len("x")
			full := with(fill.attributes, item{"pk": str("a"), "x": str(strings.Repeat("x", rest))})
			s.put(t, table, full)
			over := with(full, item{"x": str(strings.Repeat("x", rest+1))})
			_, err := s.client.PutItem(contextOf(t), &dynamodb.PutItemInput{TableName: &table, Item: over})
			wantError(t, err, validation, "Item size has exceeded the maximum allowed size")
			_, err = s.client.UpdateItem(contextOf(t), &dynamodb.UpdateItemInput{TableName: &table, Key: item{"pk": str("a")},
				UpdateExpression: aws.String("SET z = :z"), ExpressionAttributeValues: item{":z": str("")}})
			wantError(t, err, validation, "Item size to update has exceeded the maximum allowed size")
		})
	}
}
