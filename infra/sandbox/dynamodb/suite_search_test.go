package dynamodb_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) query(t *testing.T) {
	t.Run("finds ranges in order", s.ranges)
	t.Run("orders every type", s.orders)
	t.Run("pages by limit and size", s.pages)
	t.Run("filters and counts", s.filtered)
	t.Run("is refused", s.badQueries)
}

// sortKeys runs a query and returns the sort keys it found, over all pages.
func (s *suite) sortKeys(t *testing.T, in *dynamodb.QueryInput) []string {
	t.Helper()
	out := []string{}
	pages := dynamodb.NewQueryPaginator(s.client, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(contextOf(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			out = append(out, strings.Trim(showValue(it["sk"]), `"`))
		}
	}
	return out
}

func (s *suite) ranges(t *testing.T) {
	table := s.table(t, spec{sort: "S"})
	for _, sk := range []string{"a", "aa", "ab", "b", "ba", "c"} {
		s.put(t, table, key("p", sk))
		s.put(t, table, key("other", sk))
	}
	all := item{":p": str("p"), ":x": str("aa"), ":y": str("b")}
	for condition, want := range map[string]string{
		"pk = :p":                         "a aa ab b ba c",
		"pk = :p AND sk = :x":             "aa",
		"pk = :p AND sk < :y":             "a aa ab",
		"pk = :p AND sk <= :y":            "a aa ab b",
		"sk > :x AND pk = :p":             "ab b ba c",
		"pk = :p AND sk >= :x":            "aa ab b ba c",
		"pk = :p AND :x < sk":             "ab b ba c",
		"pk = :p AND begins_with(sk, :y)": "b ba",
		"(pk = :p) AND (sk = :x)":         "aa",
		"pk = :x":                         "",
	} {
		for _, limit := range []*int32{nil, aws.Int32(1), aws.Int32(2)} {
			in := &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: &condition, ExpressionAttributeValues: values(all, &condition), Limit: limit}
			if got := strings.Join(s.sortKeys(t, in), " "); got != want {
				t.Errorf("%s, limit %v: got %q, want %q", condition, limit, got, want)
			}
			in.ScanIndexForward = aws.Bool(false)
			backward := strings.Fields(want)
			slices.Reverse(backward)
			if got := s.sortKeys(t, in); !slices.Equal(got, backward) {
				t.Errorf("%s backward, limit %v: got %q, want %q", condition, limit, got, backward)
			}
		}
	}
}

func (s *suite) orders(t *testing.T) {
	numbers := []string{"-1e100", "-10", "-9.5", "-9", "-1", "-0.5", "-0.05", "0", "1e-100", "0.05", "0.5", "1", "1.5", "2", "10", "99", "100", "1e100"}
	table := s.table(t, spec{sort: "N"})
	shuffled := slices.Clone(numbers)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, n := range shuffled {
		s.put(t, table, item{"pk": str("p"), "sk": num(n)})
	}
	got := s.sortKeys(t, &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: item{":p": str("p")}})
	for i, n := range got {
		a, _ := strconv.ParseFloat(n, 64)
		if b, _ := strconv.ParseFloat(numbers[i], 64); a != b {
			t.Fatalf("the order is %v", got)
		}
	}
	if len(got) != len(numbers) {
		t.Errorf("%d of %d numbers", len(got), len(numbers))
	}
	binaries := s.table(t, spec{sort: "B"})
	want := []string{"\x00", "\x00\x00", "\x01", "\x7f", "\x80", "\xff", "\xff\xff"}
	for _, b := range want {
		s.put(t, binaries, item{"pk": str("p"), "sk": bin(b)})
	}
	for i, b := range s.sortKeys(t, &dynamodb.QueryInput{TableName: &binaries,
		KeyConditionExpression: aws.String("pk = :p AND begins_with(sk, :b)"), ExpressionAttributeValues: item{":p": str("p"), ":b": bin("\xff")}}) {
		if b != strings.Trim(fmt.Sprintf("b%q", want[5+i]), `"`) {
			t.Errorf("binary %d is %s", i, b)
		}
	}
}

func (s *suite) pages(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "S"})
	for i := range 13 {
		s.put(t, table, with(key("p", fmt.Sprintf("%02d", i)), item{"x": str(strings.Repeat("x", 100<<10))}))
	}
	in := &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: item{":p": str("p")}}
	out, err := s.client.Query(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	if out.Count != 11 || out.LastEvaluatedKey == nil {
		t.Errorf("a page of 1 MB has %d items of 100 KB and ends with %s", out.Count, show(out.LastEvaluatedKey))
	}
	wantItem(t, out.LastEvaluatedKey, key("p", "10"))
	in.ExclusiveStartKey = out.LastEvaluatedKey
	if out, err = s.client.Query(ctx, in); err != nil || out.Count != 2 || out.LastEvaluatedKey != nil {
		t.Errorf("the rest is %d items (%v)", out.Count, err)
	}
	in.ExclusiveStartKey, in.Limit = nil, aws.Int32(13)
	in.Select = types.SelectCount
	in.Limit = aws.Int32(4)
	out, err = s.client.Query(ctx, in)
	if err != nil || out.Count != 4 || len(out.Items) != 0 || out.LastEvaluatedKey == nil {
		t.Errorf("counting with a limit gives %d, %d items (%v)", out.Count, len(out.Items), err)
	}
	in.ExclusiveStartKey, in.Limit = key("p", "08"), aws.Int32(4)
	if out, err = s.client.Query(ctx, in); err != nil || out.Count != 4 || out.LastEvaluatedKey == nil {
		t.Errorf("a limit that is met exactly at the end gives %d, last key %s (%v); the service cannot know that it was the end",
			out.Count, show(out.LastEvaluatedKey), err)
	}
}

func (s *suite) filtered(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "N"})
	for i := range 10 {
		s.put(t, table, item{"pk": str("p"), "sk": num(strconv.Itoa(i)), "even": boolean(i%2 == 0)})
	}
	out, err := s.client.Query(ctx, &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: aws.String("pk = :p AND sk >= :from"),
		FilterExpression:          aws.String("even = :t"),
		ExpressionAttributeValues: item{":p": str("p"), ":t": boolean(true), ":from": num("2")}, Limit: aws.Int32(5), ProjectionExpression: aws.String("sk")})
	if err != nil {
		t.Fatal(err)
	}
	if out.Count != 3 || out.ScannedCount != 5 || len(out.Items) != 3 {
		t.Errorf("count %d of %d, want 3 of 5", out.Count, out.ScannedCount)
	}
	wantItem(t, out.Items[0], item{"sk": num("2")})
	wantItem(t, out.LastEvaluatedKey, item{"pk": str("p"), "sk": num("6")})
}

func (s *suite) badQueries(t *testing.T) {
	table := s.table(t, spec{sort: "S"})
	all := item{":p": str("p"), ":x": str("x"), ":n": num("1")}
	for condition, words := range map[string]string{
		"":                                "Invalid KeyConditionExpression: The expression can not be empty;",
		"sk = :x":                         "Query condition missed key schema element",
		"pk = :p AND q = :x":              "Query condition missed key schema element",
		"pk > :p":                         "Query key condition not supported",
		"pk = :n":                         "Condition parameter type does not match schema type",
		"pk = :p AND sk = :n":             "Condition parameter type does not match schema type",
		"pk = :p OR sk = :x":              "Invalid operator used in KeyConditionExpression: OR",
		"pk = :p AND NOT sk = :x":         "Invalid operator used in KeyConditionExpression: NOT",
		"pk = :p AND sk <> :x":            "Invalid operator used in KeyConditionExpression: <>",
		"pk = :p AND sk > :x AND sk < :x": "KeyConditionExpressions must only contain one condition per key",
		"pk = :p AND sk.a = :x":           "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: sk",
		"pk = sk":                         "Multiple attribute names used in one condition",
	} {
		t.Run(condition, func(t *testing.T) {
			_, err := s.client.Query(contextOf(t), &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: &condition,
				ExpressionAttributeValues: values(all, &condition)})
			wantError(t, err, validation, words)
		})
	}
	for what, spoil := range map[string]func(*dynamodb.QueryInput){
		"Filter Expression can only contain non-primary key attributes: Primary key attribute: sk": func(in *dynamodb.QueryInput) {
			in.FilterExpression = aws.String("sk = :p")
		},
		"The table does not have the specified index: none": func(in *dynamodb.QueryInput) { in.IndexName = aws.String("none") },
		"Cannot specify the ProjectionExpression when choosing to get only the Count": func(in *dynamodb.QueryInput) {
			in.Select, in.ProjectionExpression = types.SelectCount, aws.String("x")
		},
		"The provided starting key":  func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = key("another", "x") },
		"":                           func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = item{"pk": str("p")} },
		"Limit must be greater than": func(in *dynamodb.QueryInput) { in.Limit = aws.Int32(0) },
	} {
		in := &dynamodb.QueryInput{TableName: &table, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: item{":p": str("p")}}
		spoil(in)
		_, err := s.client.Query(contextOf(t), in)
		wantError(t, err, validation, what)
	}
}

func (s *suite) scan(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "N"})
	want := map[string]bool{}
	for i := range 60 {
		it := item{"pk": str(fmt.Sprintf("p%d", i/3)), "sk": num(strconv.Itoa(i % 3)), "i": num(strconv.Itoa(i))}
		s.put(t, table, it)
		want[show(it)] = true
	}
	for _, segments := range []int32{1, 2, 5} {
		for _, limit := range []*int32{nil, aws.Int32(1), aws.Int32(7)} {
			t.Run(fmt.Sprintf("in %d segments of limit %d", segments, aws.ToInt32(limit)), func(t *testing.T) {
				seen := s.scanAll(t, table, segments, limit)
				if len(seen) != len(want) {
					t.Fatalf("%d of %d items", len(seen), len(want))
				}
			})
		}
	}
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: &table, FilterExpression: aws.String("i < :ten AND sk = :one"),
		ExpressionAttributeValues: item{":ten": num("10"), ":one": num("1")}, Select: types.SelectCount})
	if err != nil || out.Count != 3 || out.ScannedCount != 60 {
		t.Errorf("a filtered scan counts %d of %d (%v), want 3 of 60", out.Count, out.ScannedCount, err)
	}
	for words, in := range map[string]*dynamodb.ScanInput{
		"egment":                      {Segment: aws.Int32(0)},
		"egment ":                     {TotalSegments: aws.Int32(2)},
		"egment: ":                    nil,
		"Limit must be":               {Limit: aws.Int32(0)},
		"does not have the specified": {IndexName: aws.String("none")},
		"reserved keyword: name":      {FilterExpression: aws.String("name = pk")},
		"":                            {ExclusiveStartKey: item{"pk": str("p1")}},
	} {
		if in == nil {
			in = &dynamodb.ScanInput{Segment: aws.Int32(2), TotalSegments: aws.Int32(2)}
			words = ""
		}
		in.TableName = &table
		_, err := s.client.Scan(ctx, in)
		wantError(t, err, validation, strings.TrimSpace(words))
	}
}

// scanAll scans all segments and returns what it saw; twice the same is an error.
func (s *suite) scanAll(t *testing.T, table string, segments int32, limit *int32) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	for segment := range segments {
		in := &dynamodb.ScanInput{TableName: &table, Limit: limit}
		if segments > 1 {
			in.Segment, in.TotalSegments = aws.Int32(segment), &segments
		}
		pages := dynamodb.NewScanPaginator(s.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(contextOf(t))
			if err != nil {
				t.Fatal(err)
			}
			if limit != nil && page.ScannedCount > *limit {
				t.Errorf("%d items on a page limited to %d", page.ScannedCount, *limit)
			}
			for _, it := range page.Items {
				if seen[show(it)] {
					t.Errorf("twice: %s", show(it))
				}
				seen[show(it)] = true
			}
		}
	}
	return seen
}

func (s *suite) indexes(t *testing.T) {
	table := s.table(t, spec{sort: "S", extra: []types.AttributeDefinition{define("g", "S"), define("h", "N")},
		globals: []types.GlobalSecondaryIndex{
			{IndexName: aws.String("all"), KeySchema: schema("g", "h"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}},
			{IndexName: aws.String("keys"), KeySchema: schema("g", ""), Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}},
			{IndexName: aws.String("some"), KeySchema: schema("g", ""),
				Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"x"}}},
		}})
	full := with(key("p", "1"), item{"g": str("g"), "h": num("1"), "x": str("x"), "y": str("y")})
	s.put(t, table, full)
	s.put(t, table, key("p", "2"))                            // in no index
	s.put(t, table, with(key("p", "3"), item{"g": str("g")})) // in those without h
	s.put(t, table, with(key("q", "4"), item{"g": str("other"), "h": num("7")}))
	s.checkIndexes(t, table, full)
	s.checkIndexMoves(t, table)
	t.Run("with many items of one key", func(t *testing.T) { s.sharedIndexKey(t, table) })
	t.Run("refuse", func(t *testing.T) { s.badIndexUse(t, table) })
}

func (s *suite) checkIndexes(t *testing.T, table string, full item) {
	t.Helper()
	for name, want := range map[string][]item{
		"all":  {full},
		"keys": {with(key("p", "1"), item{"g": str("g")}), with(key("p", "3"), item{"g": str("g")})},
		"some": {with(key("p", "1"), item{"g": str("g"), "x": str("x")}), with(key("p", "3"), item{"g": str("g")})},
	} {
		s.wantIndex(t, table, name, "g", "g", want)
	}
}

// wantIndex waits until the index answers with these items.
func (s *suite) wantIndex(t *testing.T, table, index, hash, value string, want []item) {
	t.Helper()
	got := func() string {
		out, err := s.client.Query(contextOf(t), &dynamodb.QueryInput{TableName: &table, IndexName: &index,
			KeyConditionExpression: aws.String(hash + " = :v"), ExpressionAttributeValues: item{":v": str(value)}})
		if err != nil {
			t.Fatal(err)
		}
		return showAll(out.Items)
	}
	eventually(t, fmt.Sprintf("%s of %s is %s; it was %s", value, index, showAll(want), got()), func() bool { return got() == showAll(want) })
}

func showAll(items []item) string {
	lines := make([]string, len(items))
	for i, it := range items {
		lines[i] = show(it)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// checkIndexMoves changes the index keys of an item and deletes another.
func (s *suite) checkIndexMoves(t *testing.T, table string) {
	ctx := contextOf(t)
	_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: key("p", "1"),
		UpdateExpression: aws.String("SET g = :o, h = :h"), ExpressionAttributeValues: item{":o": str("other"), ":h": num("3")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key("p", "3")}); err != nil {
		t.Fatal(err)
	}
	s.wantIndex(t, table, "keys", "g", "g", nil)
	s.wantIndex(t, table, "keys", "g", "other", []item{with(key("p", "1"), item{"g": str("other")}), with(key("q", "4"), item{"g": str("other")})})
	if _, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: key("p", "1"), UpdateExpression: aws.String("REMOVE h")}); err != nil {
		t.Fatal(err)
	}
	s.wantIndex(t, table, "all", "g", "other", []item{with(key("q", "4"), item{"g": str("other"), "h": num("7")})})
}

func (s *suite) sharedIndexKey(t *testing.T, table string) {
	var want []item
	for i := range 9 {
		it := with(key(fmt.Sprintf("shared%d", i%4), strconv.Itoa(i)), item{"g": str("shared"), "h": num(strconv.Itoa(i / 3))})
		s.put(t, table, it)
		want = append(want, it)
	}
	s.wantIndex(t, table, "all", "g", "shared", want)
	for _, forward := range []bool{true, false} {
		var got []item
		pages := dynamodb.NewQueryPaginator(s.client, &dynamodb.QueryInput{TableName: &table, IndexName: aws.String("all"),
			KeyConditionExpression:    aws.String("g = :v AND h >= :one"),
			ExpressionAttributeValues: item{":v": str("shared"), ":one": num("1")}, Limit: aws.Int32(2), ScanIndexForward: &forward})
		for pages.HasMorePages() {
			page, err := pages.NextPage(contextOf(t))
			if err != nil {
				t.Fatal(err)
			}
			if page.LastEvaluatedKey != nil && len(page.LastEvaluatedKey) != 4 {
				t.Errorf("the last key is %s", show(page.LastEvaluatedKey))
			}
			got = append(got, page.Items...)
		}
		if showAll(got) != showAll(want[3:]) {
			t.Errorf("forward %v, in pages: got\n%s\nwant\n%s", forward, showAll(got), showAll(want[3:]))
		}
	}
}

func (s *suite) badIndexUse(t *testing.T, table string) {
	ctx := contextOf(t)
	query := func(change func(*dynamodb.QueryInput)) error {
		in := &dynamodb.QueryInput{TableName: &table, IndexName: aws.String("some"), KeyConditionExpression: aws.String("g = :v"),
			ExpressionAttributeValues: item{":v": str("g")}}
		change(in)
		_, err := s.client.Query(ctx, in)
		return err
	}
	wantError(t, query(func(in *dynamodb.QueryInput) { in.ConsistentRead = aws.Bool(true) }), validation, "onsistent read")
	wantError(t, query(func(in *dynamodb.QueryInput) { in.ProjectionExpression = aws.String("y") }), validation,
		"Global secondary index some does not project [y]")
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: with(key("p", "9"), item{"g": num("1")})})
	wantError(t, err, validation, "Type mismatch for Index Key")
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: with(key("p", "9"), item{"g": str("")})})
	wantError(t, err, validation, "A value specified for a secondary index key is not supported. The AttributeValue for a key attribute "+
		"cannot contain an empty string value.")
	t.Run("updates to a wrong type", func(t *testing.T) {
		s.deviates(t, "it lets an UpdateItem give an index's key attribute another type, and forgets the index entry")
		_, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: key("p", "1"),
			UpdateExpression: aws.String("SET g = :n"), ExpressionAttributeValues: item{":n": num("1")}})
		wantError(t, err, validation)
	})
}
