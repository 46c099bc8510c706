package schema_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

// shipped has members of every kind.
type shipped[Carrier any] struct {
	ID       uuid.UUID                  `json:"id"`
	Order    uint64                     `json:"order,string"`
	To       address                    `json:"to"`
	Billing  *address                   `json:"billing"`
	Gift     *string                    `json:"gift,omitempty"`
	At       time.Time                  `json:"at"`
	Within   time.Duration              `json:"within,omitzero"`
	Parts    []part                     `json:"parts"`
	Labels   map[string]json.RawMessage `json:"labels"`
	Counts   map[string]*int            `json:"counts"`
	Extra    json.RawMessage            `json:"extra"`
	Anything any                        `json:"anything"`
	Carrier  Carrier                    `json:"carrier"`
	Weight   *big.Int                   `json:"weight"`
	Bytes    []byte                     `json:"bytes"`
	Note     string                     `json:"note" jsonschema:"maxLength=5,description=For the driver."`
	Untagged float64
	Skipped  chan int `json:"-"`
	meta
}

type (
	address struct {
		Street string `json:"street"`
		Zip    string `json:"zip,omitempty"`
	}
	part struct {
		SKU   string `json:"sku"`
		Parts []part `json:"parts"`
	}
	meta struct {
		Customer int64 `json:"customer"`
	}
	post struct {
		Country string `json:"country"`
	}
)

func (shipped[C]) EventType() string      { return "order/shipped & gone" }
func (shipped[C]) EventVersion() int      { return 2 }
func (shipped[C]) Subject() string        { return "" }
func (p shipped[C]) PartitionKey() string { return fmt.Sprint(p.Customer) }

// tree refers to itself.
type tree struct {
	Key      string `json:"key"`
	Children []tree `json:"children"`
}

func (*tree) EventType() string      { return "tree" }
func (*tree) EventVersion() int      { return 1 }
func (*tree) Subject() string        { return "" }
func (t *tree) PartitionKey() string { return t.Key + t.Key }

// impossible has no JSON.
type impossible struct {
	tree
	F func()
}

func typeOfShipped() events.Type {
	return events.Define(shipped[post]{Carrier: post{"PL"}, meta: meta{7}}, "the customer's id")
}

func compile(t *testing.T, doc []byte) *jsonschema.Schema {
	t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("https://example.com/test.json", parsed); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("https://example.com/test.json")
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	return compiled
}

func validate(t *testing.T, s *jsonschema.Schema, data string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(data))
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return s.Validate(value)
}

// TestSchemaSaysWhatCheckDemands: where one refuses data, the other does.
func TestSchemaSaysWhatCheckDemands(t *testing.T) {
	typ := typeOfShipped()
	r := events.MustRegistry(typ)
	doc, err := schema.Of(typ)
	if err != nil {
		t.Fatal(err)
	}
	s := compile(t, doc)
	whole, err := json.Marshal(typ.Example)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ from, to string }{
		{``, ``},
		{`"billing":null`, `"billing":{"street":"s","zip":"z"}`},
		{`"billing":null`, `"billing":7`},
		{`"billing":null,`, ``},
		{`"street":""`, `"street":null`},
		{`"street":""`, `"street":"","later":true`},
		{`"street":""`, ``},
		{`"parts":null`, `"parts":[{"sku":"s","parts":[{"sku":"s","parts":null}]}]`},
		{`"parts":null`, `"parts":[{"sku":7,"parts":null}]`},
		{`"parts":null`, `"parts":{}`},
		{`"labels":null`, `"labels":{"a":[1],"b":null}`},
		{`"counts":null`, `"counts":{"a":1,"b":null}`},
		{`"counts":null`, `"counts":{"a":"1"}`},
		{`"extra":null`, `"extra":{"a":1}`},
		{`"anything":null`, `"anything":[1]`},
		{`"country":"PL"`, `"land":"PL"`},
		{`"order":"0"`, `"order":0`},
		{`"weight":null`, `"weight":9007199254740993`},
		{`"customer":7`, `"customer":"7"`},
		{`"id":"00000000`, `"gift":"ribbon","id":"00000000`},
		{`"bytes":null`, `"bytes":"AQI="`},
		{`"Untagged":0`, `"Untagged":"0"`},
		{`"at":"0001`, `"at":"1`},
	} {
		data := strings.Replace(string(whole), tc.from, tc.to, 1)
		if data == string(whole) && tc.from != tc.to {
			t.Errorf("%s is not in %s", tc.from, whole)
		}
		bySchema := validate(t, s, data)
		byCheck := r.Check(events.Event{Type: typ.Name, Version: typ.Version, PartitionKey: "7", Data: json.RawMessage(data)})
		if (bySchema == nil) != (byCheck == nil) {
			t.Errorf("%s instead of %s: the schema says %v, Check %v\n%s", tc.to, tc.from, bySchema, byCheck, doc)
		}
	}
	if err := validate(t, s, strings.Replace(string(whole), `"note":""`, `"note":"too long"`, 1)); err == nil {
		t.Error("the tag jsonschema has no effect")
	}
}

func TestPartitionKeyIsNamed(t *testing.T) {
	doc, err := schema.Of(typeOfShipped())
	if err != nil || !strings.Contains(string(doc), `"x-partition-key": "customer"`) {
		t.Errorf("%v\n%s", err, doc)
	}
	doc, err = schema.Of(events.Define(&tree{Key: "k"}, "the key, twice"))
	if err != nil || strings.Contains(string(doc), schema.PartitionKey) {
		t.Errorf("a key that is no member: %v\n%s", err, doc)
	}
	if err := validate(t, compile(t, doc), `{"key":"k","children":[{"key":"k","children":null}]}`); err != nil {
		t.Error(err)
	}
	if _, err := schema.Of(events.Define(&impossible{tree: tree{Key: "k"}}, "k")); err == nil || !strings.Contains(err.Error(), "func()") {
		t.Errorf("a type without JSON: %v", err)
	}
}

func TestAsyncAPI(t *testing.T) {
	r := events.MustRegistry(typeOfShipped(), events.Define(&tree{Key: "k"}, "the key, twice"))
	info := schema.Info{Title: "Shop", Version: "1", Stream: "shop-events"}
	doc, err := schema.AsyncAPI(info, r)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := schema.AsyncAPI(info, r); err != nil || !bytes.Equal(doc, again) {
		t.Errorf("another document the second time: %v", err)
	}
	var parsed struct {
		Components struct {
			Messages map[string]struct {
				Payload struct{ Schema json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal(doc, &parsed); err != nil {
		t.Fatal(err)
	}
	for _, typ := range r.Types() {
		key := "order_2f_shipped_20__26__20_gone.v2"
		if typ.Name == "tree" {
			key = "tree.v1"
		}
		message, ok := parsed.Components.Messages[key]
		if !ok {
			t.Fatalf("no message for %s in %s", typ.Name, doc)
		}
		e, err := events.New(t.Context(), "/shop", typ.Example)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, compile(t, message.Payload.Schema), string(encoded)); err != nil {
			t.Errorf("%s: %v\n%s", encoded, err, message.Payload.Schema)
		}
	}
}
