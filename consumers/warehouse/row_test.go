package warehouse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/consumers/warehouse"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

// OrderPlaced is version 2 of a type that uses what JSON has.
type OrderPlaced struct {
	OrderID  string             `json:"orderId"`
	Customer *string            `json:"customer"`
	Cents    int64              `json:"cents"`
	Price    string             `json:"price"` // a float in version 1
	Weight   float64            `json:"weight"`
	Total    json.Number        `json:"total"`
	Gift     bool               `json:"gift"`
	PlacedAt time.Time          `json:"placedAt"`
	Ship     *time.Time         `json:"ship,omitempty"`
	Lines    []Line             `json:"lines"`
	Tags     map[string]string  `json:"tags"`
	Any      json.RawMessage    `json:"any,omitempty"`
	Counter  uint64             `json:"counter"`
	EventID  string             `json:"eventId"`
	Day      string             `json:"dt"`
	Same     string             `json:"order_id"` // has the column of orderId
	Ratios   map[string]float64 `json:"ratios,omitempty"`
}

// Line is a part of it.
type Line struct {
	SKU   string `json:"sku"`
	Count int    `json:"count"`
	More  []Line `json:"more,omitempty"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 2 }
func (p OrderPlaced) Subject() string      { return "order/" + p.OrderID }
func (p OrderPlaced) PartitionKey() string { return p.OrderID }

// OrderPlaced1 is version 1.
type OrderPlaced1 struct {
	OrderID string  `json:"orderId"`
	Cents   int64   `json:"cents"`
	Price   float64 `json:"price"`
}

func (OrderPlaced1) EventType() string      { return "order.placed" }
func (OrderPlaced1) EventVersion() int      { return 1 }
func (p OrderPlaced1) Subject() string      { return "order/" + p.OrderID }
func (p OrderPlaced1) PartitionKey() string { return p.OrderID }

var orders = events.MustRegistry(
	events.Define(OrderPlaced{OrderID: "1", Customer: new("ada"), Total: "1.5", Any: json.RawMessage(`{}`)}, "the order"),
	events.DefineOld(OrderPlaced1{OrderID: "1"}, "the order", func(p OrderPlaced1) (OrderPlaced, error) {
		return OrderPlaced{OrderID: p.OrderID, Cents: p.Cents}, nil
	}),
)

func catalogOf(t testing.TB, r *events.Registry) *warehouse.Catalog {
	t.Helper()
	document, err := schema.AsyncAPI(schema.Info{Title: "test", Version: "1", Stream: "events"}, r)
	if err != nil {
		t.Fatal(err)
	}
	c, err := warehouse.ReadCatalog(document)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC)

func eventOf(eventType string, version int, data string) events.Event {
	return events.Event{
		ID: "1", Source: "/shop", Type: eventType, Version: version, Subject: "order/1", Time: noon, PartitionKey: "1",
		Sequence: "01479729600000000000", Data: json.RawMessage(data),
	}
}

func rowOf(t testing.TB, c *warehouse.Catalog, e events.Event) (*warehouse.Table, map[string]any) {
	t.Helper()
	raw, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	table, line, err := warehouse.Row(c, events.Position{Sequence: "7"}, "shard", noon, raw)
	if err != nil {
		t.Fatal(err)
	}
	return table, parse(t, line).(map[string]any)
}

// parse keeps numbers as they are written.
func parse(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestColumns: each version adds columns, and a member whose type changed has two.
func TestColumns(t *testing.T) {
	table := catalogOf(t, orders).Tables()[0]
	var got []string
	names := map[warehouse.Type]string{warehouse.Text: "text", warehouse.Integer: "integer", warehouse.Float: "float",
		warehouse.Boolean: "boolean", warehouse.Timestamp: "timestamp", warehouse.JSON: "json"}
	for _, c := range table.Columns {
		if c.Member != "" {
			got = append(got, fmt.Sprintf("%s %s %s %d", c.Name, names[c.Type], c.Member, c.Version))
		}
	}
	want := []string{
		"cents integer cents 1", "order_id text orderId 1", "price float price 1",
		"any json any 2", "counter integer counter 2", "customer text customer 2", "data_dt text dt 2", "data_event_id text eventId 2",
		"gift boolean gift 2", "lines json lines 2", "order_id_v2 text order_id 2", "placed_at timestamp placedAt 2", "price_v2 text price 2",
		"ratios json ratios 2", "ship timestamp ship 2", "tags json tags 2", "total text total 2", "weight float weight 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValues(t *testing.T) {
	c := catalogOf(t, orders)
	for _, test := range []struct{ data, column, want, rest string }{
		{`{"cents":9007199254740991}`, "cents", `9007199254740991`, ``},
		{`{"cents":9223372036854775807}`, "cents", `"9223372036854775807"`, ``},
		{`{"cents":9223372036854775808}`, "cents", `null`, `{"cents":9223372036854775808}`},
		{`{"cents":1.5}`, "cents", `null`, `{"cents":1.5}`},
		{`{"cents":"7"}`, "cents", `null`, `{"cents":"7"}`},
		{`{"weight":0.1}`, "weight", `0.1`, ``},
		{`{"weight":1.10}`, "weight", `1.1`, ``},
		{`{"weight":12345678901234567.89}`, "weight", `12345678901234568`, `{"weight":12345678901234567.89}`},
		{`{"weight":1e400}`, "weight", `null`, `{"weight":1e400}`},
		{`{"weight":1e-400}`, "weight", `0`, `{"weight":1e-400}`},
		{`{"placedAt":"2016-11-21T12:00:00Z"}`, "placed_at", `"2016-11-21 12:00:00.000000"`, ``},
		{`{"placedAt":"2016-11-21T12:00:00.123456789Z"}`, "placed_at", `"2016-11-21 12:00:00.123456"`, `{"placedAt":"2016-11-21T12:00:00.123456789Z"}`},
		{`{"placedAt":"2016-11-21T13:00:00+01:00"}`, "placed_at", `"2016-11-21 12:00:00.000000"`, `{"placedAt":"2016-11-21T13:00:00+01:00"}`},
		{`{"placedAt":"0000-01-01T00:00:00Z"}`, "placed_at", `null`, `{"placedAt":"0000-01-01T00:00:00Z"}`},
		{`{"placedAt":"noon"}`, "placed_at", `null`, `{"placedAt":"noon"}`},
		{`{"orderId":"<&>"}`, "order_id", `"<&>"`, ``},
		{`{"orderId":"a\u0000b"}`, "order_id", `null`, `{"orderId":"a\u0000b"}`},
		{`{"orderId":"\ud800"}`, "order_id", `null`, `{"orderId":"\ud800"}`},
		{`{"lines":[{"sku":"a","count":1.0}]}`, "lines", `"[{\"sku\":\"a\",\"count\":1.0}]"`, ``},
		{`{"gift":null}`, "gift", `null`, ``},
		{`{"new":{"a":[]}}`, "gift", `null`, `{"new":{"a":[]}}`},
		{`[1]`, "gift", `null`, `[1]`},
	} {
		_, row := rowOf(t, c, eventOf("order.placed", 2, test.data))
		want := parse(t, []byte(test.want))
		if got := row[test.column]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s is %v, want %v", test.data, test.column, got, want)
		}
		if rest, _ := row["event_rest"].(string); rest != test.rest {
			t.Errorf("%s: the rest is %s, want %s", test.data, rest, test.rest)
		}
	}
}

// TestUnknown: nothing is dropped that the catalog does not know.
func TestUnknown(t *testing.T) {
	c := catalogOf(t, orders)
	table, row := rowOf(t, c, eventOf("order.lost", 1, `{"why":"rain"}`))
	if table.Name != "other" || row["event_type"] != "order.lost" || row["event_rest"] != `{"why":"rain"}` {
		t.Errorf("an unknown type: %s %v", table.Name, row)
	}
	table, row = rowOf(t, c, eventOf("order.placed", 3, `{"orderId":"1","price":{"cents":1}}`))
	if table.Name != "order_placed" || row["order_id"] != "1" || row["event_rest"] != `{"price":{"cents":1}}` {
		t.Errorf("an unknown version: %s %v", table.Name, row)
	}
	table, line, err := warehouse.Row(c, events.Position{Sequence: "7"}, "shard", noon, []byte("no event"))
	if err != nil || table.Name != "other" || !strings.Contains(string(line), `bm8gZXZlbnQ=`) {
		t.Errorf("bytes that are no event: %s %s %v", table.Name, line, err)
	}
}

// TestLossless: an event's data can be made of its row again, whatever it holds, but for null.
func TestLossless(t *testing.T) {
	c := catalogOf(t, orders)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BANYAN_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	members := []string{"orderId", "customer", "cents", "price", "weight", "gift", "placedAt", "ship", "lines", "tags", "any", "counter", "order_id", "x"}
	for range 3000 {
		data := map[string]any{}
		for range r.IntN(6) {
			data[members[r.IntN(len(members))]] = randomValue(r, 2)
		}
		text, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		table, row := rowOf(t, c, eventOf("order.placed", 1+r.IntN(3), string(text)))
		got, want := dataOf(t, table, row), parse(t, text).(map[string]any)
		for member, v := range want {
			if v == nil {
				delete(want, member)
			}
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(sameNumber)); diff != "" {
			t.Fatalf("seed %d: %s became %v: %s", seed, text, row, diff)
		}
	}
}

// sameNumber reports whether two texts are one number, with all digits.
func sameNumber(a, b json.Number) bool {
	x, okX := new(big.Rat).SetString(string(a))
	y, okY := new(big.Rat).SetString(string(b))
	return okX && okY && x.Cmp(y) == 0
}

func randomValue(r *rand.Rand, depth int) any {
	switch n := r.IntN(11); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return json.Number(strconv.FormatInt(int64(r.Uint64()), 10))
	case n == 3:
		return json.Number(strconv.FormatUint(r.Uint64(), 10))
	case n == 4:
		return json.Number(fmt.Sprintf("%d.%d", r.IntN(1e6), r.Uint64()>>r.IntN(64)))
	case n == 5:
		return r.NormFloat64()
	case n == 6:
		return time.Unix(r.Int64N(4e9), r.Int64N(1e9)/1000*1000).UTC()
	case n == 7:
		return time.Unix(r.Int64N(4e9), r.Int64N(1e9)).In(time.FixedZone("", r.IntN(24)*900))
	case n == 8 && depth > 0:
		return []any{randomValue(r, depth-1), randomValue(r, depth-1)}
	case n == 9 && depth > 0:
		return map[string]any{"a": randomValue(r, depth-1), "\x00<": randomValue(r, depth-1)}
	}
	return string([]rune{rune(r.IntN(0x2FFF)), 'a', rune(r.IntN(128))})
}

// dataOf is what a reader of the warehouse makes of a row.
func dataOf(t testing.TB, table *warehouse.Table, row map[string]any) map[string]any {
	t.Helper()
	data := map[string]any{}
	for _, c := range table.Columns {
		value, ok := row[c.Name]
		if !ok || c.Member == "" {
			continue
		}
		switch s, _ := value.(string); c.Type {
		case warehouse.JSON:
			value = parse(t, []byte(s))
		case warehouse.Integer:
			if s != "" {
				value = json.Number(s)
			}
		case warehouse.Timestamp:
			at, err := time.Parse("2006-01-02 15:04:05.000000", s)
			if err != nil {
				t.Fatal(err)
			}
			value = at.Format(time.RFC3339Nano)
		}
		data[c.Member] = value
	}
	if rest, ok := row["event_rest"].(string); ok {
		for member, value := range parse(t, []byte(rest)).(map[string]any) {
			data[member] = value
		}
	}
	return data
}

func TestRefusedDocuments(t *testing.T) {
	message := func(name string, version int) string {
		return fmt.Sprintf(`{"payload":{"schema":{"properties":{"type":{"const":%q},"dataversion":{"const":%d},"data":{}}}}}`, name, version)
	}
	for document, want := range map[string]string{
		`x`:  "invalid character",
		`{}`: "no messages",
		`{"components":{"messages":{"a":` + message("a.b", 1) + `,"b":` + message("a-b", 1) + `}}}`: "would have the table a_b",
		`{"components":{"messages":{"a":` + message("a.b", 1) + `,"b":` + message("a.b", 1) + `}}}`: "two messages",
		`{"components":{"messages":{"a":` + message("other", 1) + `}}}`:                             "the table other",
		`{"components":{"messages":{"a":` + message("..", 1) + `}}}`:                                "no name for a table",
		`{"components":{"messages":{"a":` + message("a", 0) + `}}}`:                                 "lacks",
	} {
		if _, err := warehouse.ReadCatalog([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", document, err, want)
		}
	}
}

// FuzzRow: no bytes are an error, and every row is one line of JSON.
func FuzzRow(f *testing.F) {
	c := catalogOf(f, orders)
	for _, data := range []string{`{"cents":1}`, `{"placedAt":"x","weight":1e9}`, `[null]`} {
		raw, err := events.Encode(eventOf("order.placed", 2, data))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, line, err := warehouse.Row(c, events.Position{Sequence: "7"}, "shard", noon, raw)
		if err != nil || !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q: %s %v", raw, line, err)
		}
	})
}
