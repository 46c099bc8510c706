package dynamodb_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) random(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { simulate(t, s.client, seed, 150) })
	}
}

// simulate runs so many random operations on one table and on a model of it (a Go map), and fails
// at the first difference. The same seed gives the same operations.
func simulate(t *testing.T, client *dynamodb.Client, seed uint64, steps int) {
	s := &suite{client: client}
	table := s.table(t, spec{sort: "N", extra: []types.AttributeDefinition{define("color", "S")},
		globals: []types.GlobalSecondaryIndex{{IndexName: aws.String("by-color"), KeySchema: schema("color", "sk"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}}}})
	sim := &simulation{suite: s, t: t, table: table, rnd: rand.New(rand.NewPCG(seed, 17)), model: map[string]item{}}
	for i := range steps {
		step := sim.step()
		if t.Failed() {
			t.Fatalf("seed %d, step %d: %s", seed, i, step)
		}
	}
}

// simulation is a table and its model, kept by the text of the key.
type simulation struct {
	*suite
	t     *testing.T
	table string
	rnd   *rand.Rand
	model map[string]item
}

func (m *simulation) step() string {
	steps := []func() string{m.put, m.put, m.change, m.change, m.change, m.remove, m.many, m.allOrNothing, m.allOrNothing,
		m.checkGet, m.checkQuery, m.checkIndex, m.checkScan}
	return steps[m.rnd.IntN(len(steps))]()
}

func (m *simulation) key() item {
	return item{"pk": str(string(rune('a' + m.rnd.IntN(3)))), "sk": num(strconv.Itoa(m.rnd.IntN(7) - 3))}
}

func (m *simulation) color() types.AttributeValue {
	return str([]string{"red", "green", "blue"}[m.rnd.IntN(3)])
}

func (m *simulation) item() item {
	it := with(m.key(), item{"n": num(strconv.Itoa(m.rnd.IntN(10)))})
	if m.rnd.IntN(3) > 0 {
		it["color"] = m.color()
	}
	return it
}

func id(it item) string { return show(item{"pk": it["pk"], "sk": it["sk"]}) }

// number is the model's n of an item, and whether it has one.
func number(it item) (int, bool) {
	n, ok := it["n"].(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	i, _ := strconv.Atoi(n.Value)
	return i, true
}

// condition picks a condition and says whether it holds for the model's item.
func (m *simulation) condition(current item) (text *string, vals item, holds bool) {
	n, has := number(current)
	switch m.rnd.IntN(4) {
	case 0:
		return aws.String("attribute_not_exists(pk)"), item{}, current == nil
	case 1:
		return aws.String("n >= :min"), item{":min": num("4")}, has && n >= 4
	case 2:
		return aws.String("attribute_exists(pk) AND NOT n < :min"), item{":min": num("4")}, current != nil && (!has || n >= 4)
	}
	return nil, item{}, true
}

// settle compares the outcome of a conditional write with what the model expects.
func (m *simulation) settle(err error, holds bool) bool {
	var failed *types.ConditionalCheckFailedException
	switch {
	case holds && err != nil:
		m.t.Errorf("got %v, want success", err)
	case !holds && !errors.As(err, &failed):
		m.t.Errorf("got %v, want a failed condition", err)
	}
	return holds && err == nil
}

func orNil(it item) item {
	if len(it) == 0 {
		return nil
	}
	return it
}

func (m *simulation) put() string {
	it := m.item()
	cond, vals, holds := m.condition(m.model[id(it)])
	_, err := m.client.PutItem(contextOf(m.t), &dynamodb.PutItemInput{TableName: &m.table, Item: it, ConditionExpression: cond,
		ExpressionAttributeValues: orNil(vals)})
	if m.settle(err, holds) {
		m.model[id(it)] = it
	}
	return fmt.Sprintf("put %s if %s", show(it), aws.ToString(cond))
}

// alteration is an update expression, its values, and what the model makes of it.
type alteration struct {
	text string
	vals item
	do   func(it item)
}

func (m *simulation) alteration() alteration {
	switch m.rnd.IntN(5) {
	case 0:
		return alteration{"ADD n :d", item{":d": num("3")}, func(it item) {
			n, _ := number(it)
			it["n"] = num(strconv.Itoa(n + 3))
		}}
	case 1:
		color := m.color()
		return alteration{"SET color = :c REMOVE n", item{":c": color}, func(it item) {
			it["color"] = color
			delete(it, "n")
		}}
	case 2:
		return alteration{"REMOVE color", nil, func(it item) { delete(it, "color") }}
	}
	return alteration{"SET l = if_not_exists(l, :x)", item{":x": list(num("1"), num("2"))}, func(it item) {
		if it["l"] == nil {
			it["l"] = list(num("1"), num("2"))
		}
	}}
}

func (m *simulation) change() string {
	k, a := m.key(), m.alteration()
	current := m.model[id(k)]
	cond, vals, holds := m.condition(current)
	_, err := m.client.UpdateItem(contextOf(m.t), &dynamodb.UpdateItemInput{TableName: &m.table, Key: k, UpdateExpression: &a.text,
		ConditionExpression: cond, ExpressionAttributeValues: orNil(with(a.vals, vals))})
	if m.settle(err, holds) {
		m.alter(k, a)
	}
	return fmt.Sprintf("update %s: %s if %s", show(k), a.text, aws.ToString(cond))
}

func (m *simulation) alter(k item, a alteration) {
	it := with(k, m.model[id(k)])
	a.do(it)
	m.model[id(k)] = it
}

func (m *simulation) remove() string {
	k := m.key()
	cond, vals, holds := m.condition(m.model[id(k)])
	_, err := m.client.DeleteItem(contextOf(m.t), &dynamodb.DeleteItemInput{TableName: &m.table, Key: k, ConditionExpression: cond,
		ExpressionAttributeValues: orNil(vals)})
	if m.settle(err, holds) {
		delete(m.model, id(k))
	}
	return fmt.Sprintf("delete %s if %s", show(k), aws.ToString(cond))
}

func (m *simulation) many() string {
	var writes []types.WriteRequest
	seen := map[string]bool{}
	for range 1 + m.rnd.IntN(5) {
		it := m.item()
		if seen[id(it)] {
			continue
		}
		seen[id(it)] = true
		if m.rnd.IntN(3) == 0 {
			writes = append(writes, deleteRequest(item{"pk": it["pk"], "sk": it["sk"]}))
			delete(m.model, id(it))
			continue
		}
		writes = append(writes, putRequest(it))
		m.model[id(it)] = it
	}
	out, err := m.client.BatchWriteItem(contextOf(m.t), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{m.table: writes}})
	if err != nil || len(out.UnprocessedItems) > 0 {
		m.t.Errorf("batch: %v, %v", out, err)
	}
	return fmt.Sprintf("a batch of %d", len(writes))
}

// allOrNothing is a transaction of a put, an update and a check of three different items.
func (m *simulation) allOrNothing() string {
	it, k, checked, a := m.item(), m.key(), m.key(), m.alteration()
	if id(it) == id(k) || id(k) == id(checked) || id(it) == id(checked) {
		return "a transaction not done"
	}
	cond, vals, holds := m.condition(m.model[id(k)])
	_, there := m.model[id(checked)]
	err := m.transact(m.t, transactPut(m.table, it), types.TransactWriteItem{Update: &types.Update{TableName: &m.table,
		Key: k, UpdateExpression: &a.text, ConditionExpression: cond, ExpressionAttributeValues: orNil(with(a.vals, vals))}},
		transactCheck(m.table, checked, "attribute_exists(pk)"))
	var failed *types.TransactionCanceledException
	switch {
	case holds && there && err == nil:
		m.model[id(it)] = it
		m.alter(k, a)
	case holds && there:
		m.t.Errorf("got %v, want success", err)
	case !errors.As(err, &failed):
		m.t.Errorf("got %v, want it canceled", err)
	}
	return fmt.Sprintf("transaction: put %s, update %s: %s if %s, check %s", show(it), show(k), a.text, aws.ToString(cond), show(checked))
}

func (m *simulation) checkGet() string {
	k := m.key()
	wantItem(m.t, m.get(m.t, m.table, k), m.model[id(k)])
	return "get " + show(k)
}

// of returns the model's items that fit.
func (m *simulation) of(fits func(item) bool) []item {
	var out []item
	for _, it := range m.model {
		if fits(it) {
			out = append(out, it)
		}
	}
	return out
}

func sortKey(it item) int {
	n, _ := strconv.Atoi(it["sk"].(*types.AttributeValueMemberN).Value)
	return n
}

func (m *simulation) checkQuery() string {
	pk, low := str(string(rune('a'+m.rnd.IntN(3)))), m.rnd.IntN(7)-3
	forward := m.rnd.IntN(2) == 0
	var got []item
	pages := dynamodb.NewQueryPaginator(m.client, &dynamodb.QueryInput{TableName: &m.table,
		KeyConditionExpression: aws.String("pk = :p AND sk >= :low"), ConsistentRead: aws.Bool(true),
		ExpressionAttributeValues: item{":p": pk, ":low": num(strconv.Itoa(low))}, ScanIndexForward: &forward, Limit: aws.Int32(int32(1 + m.rnd.IntN(4)))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(contextOf(m.t))
		if err != nil {
			m.t.Fatal(err)
		}
		got = append(got, page.Items...)
	}
	want := m.of(func(it item) bool {
		return showValue(it["pk"]) == showValue(pk) && sortKey(it) >= low
	})
	slices.SortFunc(want, func(a, b item) int {
		if forward {
			return sortKey(a) - sortKey(b)
		}
		return sortKey(b) - sortKey(a)
	})
	if fmt.Sprint(showEach(got)) != fmt.Sprint(showEach(want)) {
		m.t.Errorf("got  %v\nwant %v", showEach(got), showEach(want))
	}
	return fmt.Sprintf("query %s from %d, forward %v", showValue(pk), low, forward)
}

func showEach(items []item) []string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = show(it)
	}
	return out
}

func (m *simulation) checkIndex() string {
	color := m.color()
	out, err := m.client.Query(contextOf(m.t), &dynamodb.QueryInput{TableName: &m.table, IndexName: aws.String("by-color"),
		KeyConditionExpression: aws.String("color = :c"), ExpressionAttributeValues: item{":c": color}})
	if err != nil {
		m.t.Fatal(err)
	}
	want := m.of(func(it item) bool { return it["color"] != nil && showValue(it["color"]) == showValue(color) })
	if showAll(out.Items) != showAll(want) {
		m.t.Errorf("got\n%s\nwant\n%s", showAll(out.Items), showAll(want))
	}
	return "query of " + showValue(color)
}

func (m *simulation) checkScan() string {
	out, err := m.client.Scan(contextOf(m.t), &dynamodb.ScanInput{TableName: &m.table,
		FilterExpression: aws.String("n > :min OR attribute_exists(color)"), ExpressionAttributeValues: item{":min": num("5")}})
	if err != nil {
		m.t.Fatal(err)
	}
	want := m.of(func(it item) bool {
		n, has := number(it)
		return has && n > 5 || it["color"] != nil
	})
	if showAll(out.Items) != showAll(want) || int(out.ScannedCount) != len(m.model) {
		m.t.Errorf("of %d got\n%s\nof %d want\n%s", out.ScannedCount, showAll(out.Items), len(m.model), showAll(want))
	}
	return "scan"
}
