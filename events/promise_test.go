package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

// shipped is as odd as payloads come.
type shipped[Carrier any] struct {
	Order   uint64                     `json:"order,string"` // beyond 2^53
	To      address                    `json:"to"`
	Billing *address                   `json:"billing"`
	Gift    *string                    `json:"gift,omitempty"`
	At      time.Time                  `json:"at"`
	Within  time.Duration              `json:"within,omitzero"`
	Parts   []part                     `json:"parts"`
	Labels  map[string]json.RawMessage `json:"labels"`
	Extra   json.RawMessage            `json:"extra"`
	Carrier Carrier                    `json:"carrier"`
	Weight  *big.Int                   `json:"weight"`
	//lint:ignore U1000 a member that is not exported is not written
	private int
	Skipped func() `json:"-"`
	meta
}

type (
	address struct {
		Street string `json:"street"`
		Zip    string `json:"zip,omitempty"`
	}
	part struct {
		SKU string `json:"sku"`
	}
	meta struct {
		Customer string `json:"customer"`
	}
	post struct {
		Country string `json:"country"`
	}
)

func (shipped[C]) EventType() string      { return "order.shipped" }
func (shipped[C]) EventVersion() int      { return 1 }
func (p shipped[C]) Subject() string      { return fmt.Sprint("order/", p.Order) }
func (p shipped[C]) PartitionKey() string { return p.Customer }

func (p shipped[C]) Validate() error {
	if p.Billing != nil && p.Billing.Street == "nowhere" {
		return errors.New("billing.street is nowhere")
	}
	return nil
}

const shippedData = `{"order":"18446744073709551615","to":{"street":"s"},"billing":null,"at":"2016-11-21T12:00:00Z","parts":[{}],` +
	`"labels":null,"extra":null,"carrier":{"country":"PL"},"weight":9007199254740993,"customer":"ada"}`

func shippedExample() shipped[post] {
	gift, weight := "wrapped", big.NewInt(1<<53+1)
	return shipped[post]{
		Order: 1<<64 - 1, To: address{"s", "z"}, Billing: &address{Street: "b"}, Gift: &gift, At: time.Unix(1, 0).UTC(),
		Within: time.Hour, Parts: []part{{"sku"}}, Labels: map[string]json.RawMessage{"l": []byte("1")}, Extra: []byte(`{"a":[1e400]}`),
		Carrier: post{"PL"}, Weight: weight, meta: meta{"ada"},
	}
}

func TestPayloadsOfAllKinds(t *testing.T) {
	r := newRegistry(t, events.Define(shippedExample(), "the customer's id"))
	e, err := events.New(t.Context(), "/shop", shippedExample())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = events.Decode(encoded); err != nil {
		t.Fatal(err)
	}
	p, err := r.Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	got, want := p.(shipped[post]), shippedExample()
	if got.Weight.Cmp(want.Weight) != 0 {
		t.Errorf("weight %v, want %v", got.Weight, want.Weight)
	}
	got.Weight, want.Weight = nil, nil
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(shipped[post]{})); diff != "" {
		t.Error(diff)
	}
}

func TestPromises(t *testing.T) {
	r := newRegistry(t, append(shopTypes(), events.Define(shippedExample(), "the customer's id"))...)
	for _, tc := range []struct {
		from, to string // in the data
		want     string // in the error; "": none
	}{
		{``, ``, ""},
		{`"parts":[{}]`, `"parts":null`, ""},
		{`"billing":null`, `"billing":{"street":"b"}`, ""},
		{`"billing":null`, `"billing":{}`, ""}, // a pointer's members are for Validate
		{`"billing":null`, `"billing":{"street":"nowhere"}`, "order.shipped version 1: billing.street is nowhere"},
		{`"billing":null,`, ``, `required member "billing" is missing`},
		{`"to":{"street":"s"}`, `"to":{}`, `required member "to.street" is missing`},
		{`"to":{"street":"s"}`, `"to":null`, `required member "to" is missing or null`},
		{`"at":"2016-11-21T12:00:00Z",`, ``, `required member "at" is missing`},
		{`"country"`, `"land"`, `required member "carrier.country" is missing`},
		{`"customer":"ada"`, `"customer":""`, `the partition key (the customer's id) is empty`},
		{`"customer":"ada"`, `"customer":"bob"`, `partitionkey: the envelope has "ada", and order.shipped version 1 names "bob"`},
		{`"customer":"ada"`, `"Customer":"ada"`, `required member "customer" is missing`},
		{`"customer":"ada"`, `"customer":"ada","customer":"bob"`, `names "bob"`},
		{`"18446744073709551615"`, `"18446744073709551616"`, `order.shipped version 1: json:`},
		{`"billing":null`, `"billing":nil`, "order.shipped version 1"},
		{`"billing":null`, `"billing" null`, "order.shipped version 1"},
		{`"billing":null,`, `"billing":null;`, "order.shipped version 1"},
	} {
		data := strings.Replace(shippedData, tc.from, tc.to, 1)
		e := orderEvent("order.shipped", 1, "ada", data)
		_, decodeErr := r.Decode(e)
		for _, err := range []error{r.Check(e), decodeErr} {
			if tc.want == "" && err == nil {
				continue
			}
			if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), tc.want) || tc.want == "" {
				t.Errorf("%s instead of %s: got %v, want %q", tc.to, tc.from, err, tc.want)
			}
		}
	}
	foreign := orderEvent("order.vanished", 1, "ada", `{"customer":7}`)
	if err := r.Check(foreign); err != nil {
		t.Errorf("a type that the registry does not have: %v", err)
	}
	if err := r.Check(orderEvent("order.placed", 9, "ada", `{}`)); err != nil {
		t.Errorf("a version that the registry does not have: %v", err)
	}
}

// careless follows a pointer that the data may leave nil.
type careless struct {
	Buyer *part `json:"buyer"`
}

func (careless) EventType() string      { return "careless" }
func (careless) EventVersion() int      { return 1 }
func (careless) Subject() string        { return "" }
func (p careless) PartitionKey() string { return p.Buyer.SKU }

// carelessV2 is what careless is lifted to.
type carelessV2 struct {
	careless
	Note string `json:"note"`
}

func (carelessV2) EventVersion() int { return 2 }

func (p carelessV2) Validate() error {
	if p.Note == "" {
		return errors.New("note is empty")
	}
	return nil
}

// pointerValidate could be defined by value, and its Validate then not be called.
type pointerValidate struct{ named }

func (*pointerValidate) Validate() error { return errors.New("never") }

func TestPanicsAndLiftsOfPayloads(t *testing.T) {
	example := careless{&part{"b"}}
	lift := func(p careless) (carelessV2, error) {
		switch p.Buyer.SKU {
		case "panic":
			panic("at the disco")
		case "invalid":
			return carelessV2{careless: p}, nil
		}
		return carelessV2{p, "lifted"}, nil
	}
	r := newRegistry(t, events.DefineOld(example, "the buyer", lift), events.Define(carelessV2{example, "n"}, "the buyer"))
	for data, want := range map[string]string{
		`{"buyer":null}`:                        "a method of events_test.careless panicked",
		`{"buyer":{"sku":"panic"}}`:             "lift careless version 1 to 2: it panicked: at the disco",
		`{"buyer":{"sku":"invalid"}}`:           "lift careless version 1 to 2: note is empty",
		`{"buyer":{"sku":"fine"},"later":true}`: "",
	} {
		var key struct{ Buyer struct{ SKU string } }
		_ = json.Unmarshal([]byte(data), &key)
		_, err := r.Decode(orderEvent("careless", 1, key.Buyer.SKU, data))
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
	if _, err := events.New(t.Context(), "/x", carelessV2{example, ""}); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), "note is empty") {
		t.Errorf("New with what Validate refuses: %v", err)
	}
	if _, err := events.NewRegistry(events.Define(pointerValidate{named{"a", 1}}, "k")); err == nil || !strings.Contains(err.Error(), "pointer receiver") {
		t.Errorf("a Validate that would not be called: %v", err)
	}
}

func FuzzRegistryDecode(f *testing.F) {
	r := events.MustRegistry(append(shopTypes(), events.Define(shippedExample(), "the customer's id"), events.Define(careless{&part{"b"}}, "b"))...)
	f.Add("order.shipped", 1, "ada", []byte(shippedData))
	f.Add("order.placed", 1, "ada", []byte(`{"order":1,"customer":"ada","euros":0}`))
	f.Add("careless", 1, "b", []byte(`{"buyer":null}`))
	f.Fuzz(func(t *testing.T, eventType string, version int, key string, data []byte) {
		e := orderEvent(eventType, version, key, string(data))
		p, err := r.Decode(e)
		foreign := errors.Is(err, events.ErrUnknownType) || errors.Is(err, events.ErrUnknownVersion)
		switch {
		case err == nil && p.PartitionKey() != key:
			t.Fatalf("%s of key %q is for key %q", data, p.PartitionKey(), key)
		case err != nil && !foreign && !errors.Is(err, events.ErrMalformed):
			t.Fatalf("%q: %v", data, err)
		case (foreign || err == nil) && r.Check(e) != nil:
			t.Fatalf("%q decodes, and is refused: %v", data, r.Check(e))
		}
	})
}

type flat struct {
	A string `json:"a"`
	B string `json:"b"`
}

func (flat) EventType() string    { return "flat" }
func (flat) EventVersion() int    { return 1 }
func (flat) Subject() string      { return "" }
func (flat) PartitionKey() string { return "ada" }

// TestRequiredMembersHoweverWritten: encoding/json is the judge of which members are there.
func TestRequiredMembersHoweverWritten(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 3))
	r := newRegistry(t, events.Define(flat{}, "a constant"))
	parts := []string{
		`"a":"x"`, `"b":"x"`, `"a":null`, `"b":"null"`, `"b" : "x"`, `"\u0062":"x"`, `"c":{"a":"x","b":"y"}`, `"c":[{"b":1}]`, `"c":["a","b"]`,
		`"x\"a":"y"`, `"c":",\"b\":"`, `"c":"{\"a\":,"`, `"B":"x"`, `"c":"{"`, `"c":","`, `"c":"\\"`,
	}
	missing := 0
	for range 20_000 {
		var members []string
		for range rnd.IntN(5) {
			members = append(members, parts[rnd.IntN(len(parts))])
		}
		data := "{" + strings.Join(members, ",") + "}"
		var there map[string]json.RawMessage
		if err := json.Unmarshal([]byte(data), &there); err != nil {
			t.Fatal(err)
		}
		has := func(name string) bool { return there[name] != nil && string(there[name]) != "null" }
		want := has("a") && has("b")
		if got := r.Check(orderEvent("flat", 1, "ada", data)) == nil; got != want {
			t.Fatalf("seed %d: %s: accepted %v, want %v", seed, data, got, want)
		}
		if !want {
			missing++
		}
	}
	if missing == 0 || missing == 20_000 {
		t.Errorf("seed %d: %d of 20000 lacked a member", seed, missing)
	}
}
