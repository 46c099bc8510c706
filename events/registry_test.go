package events_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

// An order of a shop, in three versions.
type (
	placedV1 struct {
		Order    int64  `json:"order"`
		Customer string `json:"customer"`
		Euros    int    `json:"euros"`
	}
	placedV2 struct {
		Order    int64  `json:"order"`
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	placed struct {
		Order    string `json:"order"`
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
)

func (placedV1) EventType() string      { return "order.placed" }
func (placedV1) EventVersion() int      { return 1 }
func (p placedV1) Subject() string      { return "order/" + strconv.FormatInt(p.Order, 10) }
func (p placedV1) PartitionKey() string { return p.Customer }

func (placedV2) EventType() string      { return "order.placed" }
func (placedV2) EventVersion() int      { return 2 }
func (p placedV2) Subject() string      { return "order/" + strconv.FormatInt(p.Order, 10) }
func (p placedV2) PartitionKey() string { return p.Customer }

func (placed) EventType() string      { return "order.placed" }
func (placed) EventVersion() int      { return 3 }
func (p placed) Subject() string      { return "order/" + p.Order }
func (p placed) PartitionKey() string { return p.Customer }

// cancelled has pointer receivers.
type cancelled struct {
	Order string `json:"order"`
}

func (*cancelled) EventType() string      { return "order.cancelled" }
func (*cancelled) EventVersion() int      { return 1 }
func (p *cancelled) Subject() string      { return "order/" + p.Order }
func (p *cancelled) PartitionKey() string { return p.Order }

var errFree = errors.New("an order for nothing")

func liftV1(old placedV1) (placedV2, error) {
	if old.Euros == 0 {
		return placedV2{}, errFree
	}
	return placedV2{Order: old.Order, Customer: old.Customer, Cents: int64(old.Euros) * 100}, nil
}

func liftV2(old placedV2) (placed, error) {
	return placed{Order: strconv.FormatInt(old.Order, 10), Customer: old.Customer, Cents: old.Cents}, nil
}

func shopTypes() []events.Type {
	return []events.Type{
		events.Define(placed{"o-1", "ada", 500}, "the customer's id"),
		events.DefineOld(placedV1{1, "ada", 5}, "the customer's id", liftV1),
		events.DefineOld(placedV2{1, "ada", 500}, "the customer's id", liftV2),
		events.Define(&cancelled{"o-1"}, "the order's id"),
	}
}

func newRegistry(t *testing.T, types ...events.Type) *events.Registry {
	t.Helper()
	r, err := events.NewRegistry(types...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func orderEvent(eventType string, version int, key, data string) events.Event {
	return events.Event{ID: "e-1", Type: eventType, Version: version, PartitionKey: key, Data: []byte(data)}
}

func TestDecodeLiftsToTheNewestVersion(t *testing.T) {
	r := newRegistry(t, shopTypes()...)
	for _, tc := range []struct {
		e    events.Event
		want events.Payload
	}{
		{orderEvent("order.placed", 1, "ada", `{"order":9007199254740993,"customer":"ada","euros":5}`), placed{"9007199254740993", "ada", 500}},
		{orderEvent("order.placed", 2, "ada", `{"order":7,"customer":"ada","cents":501}`), placed{"7", "ada", 501}},
		{orderEvent("order.placed", 3, "ada", `{"order":"x","customer":"ada","cents":502,"later":[]}`), placed{"x", "ada", 502}},
		{orderEvent("order.cancelled", 1, "x", `{"order":"x"}`), &cancelled{"x"}},
	} {
		got, err := r.Decode(tc.e)
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("version %d: %v\n%s", tc.e.Version, err, diff)
		}
		if err := r.Check(tc.e); err != nil {
			t.Errorf("version %d: %v", tc.e.Version, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	r := newRegistry(t, shopTypes()...)
	for name, tc := range map[string]struct {
		e    events.Event
		want error
	}{
		"unknown type":          {orderEvent("order.vanished", 1, "ada", `{}`), events.ErrUnknownType},
		"version of the future": {orderEvent("order.placed", 4, "ada", `{}`), events.ErrUnknownVersion},
		"version of the past":   {orderEvent("order.placed", 0, "ada", `{}`), events.ErrUnknownVersion},
		"data of another shape": {orderEvent("order.placed", 3, "ada", `{"order":7}`), events.ErrMalformed},
		"a list":                {orderEvent("order.placed", 3, "ada", `[]`), events.ErrMalformed},
		"null":                  {orderEvent("order.placed", 3, "ada", " null\n"), events.ErrMalformed},
		"null for a pointer":    {orderEvent("order.cancelled", 1, "ada", "null"), events.ErrMalformed},
		"nothing":               {orderEvent("order.cancelled", 1, "ada", ""), events.ErrMalformed},
		"refused by a lift":     {orderEvent("order.placed", 1, "ada", `{"order":1,"customer":"ada","euros":0}`), errFree},
	} {
		before := tc.e
		if p, err := r.Decode(tc.e); p != nil || !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, p, err, tc.want)
		}
		if diff := cmp.Diff(before, tc.e); diff != "" {
			t.Errorf("%s: decoding changed the event: %s", name, diff)
		}
	}
	var none *events.Registry
	if _, err := none.Decode(orderEvent("order.placed", 3, "ada", `{}`)); !errors.Is(err, events.ErrUnknownType) {
		t.Errorf("nil registry: %v", err)
	}
	if err := none.Check(orderEvent("order.placed", 3, "ada", `{}`)); err != nil || len(none.Types()) > 0 {
		t.Errorf("nil registry: %v, %v", err, none.Types())
	}
}

// named has the type and the version that a test gives it.
type named struct {
	Name    string
	Version int
}

func (n named) EventType() string  { return n.Name }
func (n named) EventVersion() int  { return n.Version }
func (named) Subject() string      { return "" }
func (named) PartitionKey() string { return "k" }

// channel has no JSON.
type channel struct {
	named
	C chan int
}

func (channel) EventType() string { return "channel" }
func (channel) EventVersion() int { return 1 }

// embedded can be written as JSON, and not be read.
type (
	hidden   struct{ Order string }
	embedded struct{ *hidden }
)

func (embedded) EventType() string    { return "embedded" }
func (embedded) EventVersion() int    { return 1 }
func (embedded) Subject() string      { return "" }
func (embedded) PartitionKey() string { return "k" }

// wrapped has a form of its own, which its zero value does not have.
type wrapped struct{ order *hidden }

func (wrapped) EventType() string              { return "wrapped" }
func (wrapped) EventVersion() int              { return 1 }
func (wrapped) Subject() string                { return "" }
func (w wrapped) PartitionKey() string         { return w.order.Order }
func (w wrapped) MarshalJSON() ([]byte, error) { return json.Marshal(w.order.Order) }

func (w *wrapped) UnmarshalJSON(text []byte) error {
	w.order = &hidden{}
	return json.Unmarshal(text, &w.order.Order)
}

// TestPayloadsThatPanic cost their event alone, not the program.
func TestPayloadsThatPanic(t *testing.T) {
	r := newRegistry(t, events.Define(wrapped{&hidden{"o-1"}}, "the order"))
	e, err := events.New(t.Context(), "/shop", wrapped{&hidden{"o-2"}})
	if err != nil || r.Check(e) != nil {
		t.Error(err, r.Check(e))
	}
	for want, p := range map[string]events.Payload{
		"make wrapped: malformed event: data: a method of events_test.wrapped panicked": wrapped{},
		"make an event of *events_test.wrapped: malformed event: data: a method of":     (*wrapped)(nil),
		"make an event of <nil>: malformed event: data: the payload is nil":             nil,
	} {
		if e, err := events.New(t.Context(), "/shop", p); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), want) || e.ID != "" {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestNewRegistryRefuses(t *testing.T) {
	one := events.Define(named{"a", 1}, "a key")
	toNamed := func(placedV1) (named, error) { return named{}, nil }
	for want, types := range map[string][]events.Type{
		`register "a": version 1 is defined twice`:             {one, one},
		`"" version 1: malformed event: type: required`:        {events.Define(named{"", 1}, "a key")},
		`type: control character`:                              {events.Define(named{"a\nb", 1}, "a key")},
		`version 0 is not from 1 to`:                           {events.Define(named{"a", 0}, "a key")},
		`description of the partition key is empty`:            {events.Define(named{"a", 1}, "")},
		`version 2 is missing between 1 and 3`:                 {one, events.Define(named{"a", 3}, "a key")},
		`version 1 has no lift to version 2`:                   {one, events.Define(named{"a", 2}, "a key")},
		`to version 3, which is missing`:                       shopTypes()[2:3],
		`lifted to events_test.named, and version 2 is events`: {shopTypes()[0], shopTypes()[2], events.DefineOld(placedV1{}, "k", toNamed)},
		`lift is nil`: {events.DefineOld[placedV1, placedV2](placedV1{}, "k", nil)},
		`example of *events_test.cancelled is nil`:                                                    {events.Define((*cancelled)(nil), "k")},
		`example is declared as the interface`:                                                        {events.Define[events.Payload](named{"a", 1}, "k")},
		`write the example as JSON: json: unsupported type: chan int`:                                 {events.Define(channel{}, "k")},
		`read what the example is written as: json: cannot set embedded pointer to unexported struct`: {events.Define(embedded{&hidden{"o-1"}}, "k")},
		`panicked on the example: runtime error: invalid memory`:                                      {events.Define(wrapped{}, "k")},
		`not made by Define`: {{Name: "a", Version: 1}},
	} {
		if _, err := events.NewRegistry(types...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustRegistry did not panic")
		}
	}()
	events.MustRegistry(one, one)
}

func TestRegistriesMerge(t *testing.T) {
	shop := newRegistry(t, shopTypes()...)
	other := newRegistry(t, events.Define(named{"ünusual type/with spaces & ‽", 7}, "a key"))
	both := newRegistry(t, slices.Concat(shop.Types(), other.Types())...)
	var got []string
	for _, typ := range both.Types() {
		got = append(got, typ.Name+" "+strconv.Itoa(typ.Version))
	}
	want := []string{"order.cancelled 1", "order.placed 1", "order.placed 2", "order.placed 3", "ünusual type/with spaces & ‽ 7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p, err := both.Decode(orderEvent("ünusual type/with spaces & ‽", 7, "k", `{"Name":"n","Version":7}`)); err != nil || p != (named{"n", 7}) {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := events.NewRegistry(slices.Concat(shop.Types(), both.Types())...); err == nil {
		t.Error("merging a registry with one that contains it must fail")
	}
}

func TestRegistryIsSafeForConcurrentUse(t *testing.T) {
	r := newRegistry(t, shopTypes()...)
	e := orderEvent("order.placed", 1, "ada", `{"order":1,"customer":"ada","euros":5}`)
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for range 200 {
				if _, err := r.Decode(e); err != nil || r.Check(e) != nil || len(r.Types()) != 4 {
					t.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRegistryDecode(b *testing.B) {
	r := events.MustRegistry(shopTypes()...)
	e := orderEvent("order.placed", 3, "ada", `{"order":"59b99db4cfa9a34dcd7885b6","customer":"ada","cents":501}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Decode(e); err != nil {
			b.Fatal(err)
		}
	}
}
