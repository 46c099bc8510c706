package schema_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

type sent struct {
	From    string          `json:"from"`
	To      int             `json:"to"`
	Text    string          `json:"text" personal:"user/{from}"`
	Reader  *reader         `json:"reader"`
	Files   []string        `json:"files" personal:"subject"`
	Payload json.RawMessage `json:"payload,omitempty" personal:"{from}/{to}"`
}

type reader struct {
	Name  *string `json:"name" personal:"subject"`
	Boss  *boss   `json:"boss,omitempty"`
	Parts []part  `json:"parts"`
}

type boss struct {
	Boss *boss `json:"boss"`
}

func (sent) EventType() string      { return "message.sent" }
func (sent) EventVersion() int      { return 1 }
func (m sent) Subject() string      { return "user/" + m.From }
func (m sent) PartitionKey() string { return m.From }

func example() sent {
	name := "Ada"
	return sent{From: "1", To: 2, Text: "hi", Reader: &reader{Name: &name}, Files: []string{"a"}, Payload: json.RawMessage(`{"a":1}`)}
}

// TestSealedMembersFitTheSchema: where the registry accepts data, the schema and the document do.
func TestSealedMembersFitTheSchema(t *testing.T) {
	typ := events.Define(example(), "the sender's id")
	r := events.MustRegistry(typ)
	doc, err := schema.Of(typ)
	if err != nil {
		t.Fatal(err)
	}
	async, err := schema.AsyncAPI(schema.Info{Title: "Chat", Version: "1", Stream: "s"}, r)
	if err != nil {
		t.Fatal(err)
	}
	document, err := schema.Read(async)
	if err != nil {
		t.Fatal(err)
	}
	e := events.Event{Type: "message.sent", Version: 1, PartitionKey: "1", Subject: "user/1"}
	const sealed = `{"$sealed":"eA==","subject":"user/1","key":"k"}`
	for text, want := range map[string]bool{
		`"text":"hi","files":["a"],"reader":{"name":"Ada","parts":null}`:                                true,
		`"text":` + sealed + `,"files":` + sealed + `,"reader":{"name":` + sealed + `,"parts":null}`:    true,
		`"text":{"$sealed":"","subject":"user/1"},"files":null,"reader":null`:                           true,
		`"text":{"$sealed":""},"files":null,"reader":null`:                                              false, // nobody's
		`"text":{"$sealed":"","subject":"user/1","more":1},"files":null,"reader":null`:                  false,
		`"text":null,"files":null,"reader":null`:                                                        false,
		`"files":null,"reader":null`:                                                                    false,
		`"text":"hi","files":null,"reader":{"name":"Ada","parts":` + sealed + `}`:                       false, // not personal
		`"text":"hi","files":null,"reader":{"name":{"$sealed":1,"subject":"user/1"},"parts":null}`:      false,
		`"text":"hi","payload":` + sealed + `,"files":{"$sealed":"x","subject":"user/1"},"reader":null`: true,
	} {
		e.Data = json.RawMessage(`{"from":"1","to":2,` + text + `}`)
		byCheck, bySchema, byDocument := r.Check(e), validate(t, compile(t, doc), string(e.Data)), document.Check(e)
		if (byCheck == nil) != want || (bySchema == nil) != want || (byDocument == nil) != want {
			t.Errorf("%s: want %v; registry %v, schema %v, document %v", e.Data, want, byCheck, bySchema, byDocument)
		}
	}
	byPath := func(a, b events.PersonalMember) int { return strings.Compare(a.String(), b.String()) }
	want := slices.SortedFunc(slices.Values(r.Personal(e)), byPath)
	got := slices.SortedFunc(slices.Values(document.Personal(e)), byPath)
	if len(want) != 4 || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
		t.Errorf("the document has %v, the registry %v", got, want)
	}
	if got := document.Personal(events.Event{Type: "another"}); got != nil {
		t.Errorf("of an unknown type: %v", got)
	}
}

func TestPersonalIsJudged(t *testing.T) {
	const plain, personal = `{"type":"string"}`, `{"anyOf":[{"type":"string"},{"type":"object"}],"x-personal":"subject"}`
	of := func(member string) []byte { return []byte(`{"type":"object","properties":{"name":` + member + `}}`) }
	for _, c := range []struct{ old, now, want string }{
		{plain, personal, `member "name" is personal now: readers of the committed schema refuse sealed ones`},
		{personal, plain, `member "name" is no longer personal: readers of the new schema refuse old events in which it is sealed`},
		{personal, strings.Replace(personal, `"string"`, `"number"`, 1), `member "name": its type was "string" and is "number"`},
		{personal, strings.Replace(personal, `"subject"`, `"user/{id}"`, 1), ""},
		{personal, personal, ""},
	} {
		found, err := schema.Breaking(of(c.old), of(c.now))
		if err != nil || strings.Join(found, "; ") != c.want {
			t.Errorf("%s to %s: %q, %v, want %q", c.old, c.now, found, err, c.want)
		}
	}
}

// TestNothingPersonalIsOverlooked: in a document by hand, what would not be sealed is refused.
func TestNothingPersonalIsOverlooked(t *testing.T) {
	const personal = `{"x-personal":"subject"}`
	for data, want := range map[string]string{
		`{"properties":{"a":{"properties":{"b":` + personal + `}}}}`:                                                             "",
		`{"properties":{"a":{"items":` + personal + `}}}`:                                                                        "inside of a list",
		`{"properties":{"a":{"additionalProperties":{"properties":{"b":` + personal + `}}}}}`:                                    "inside of a list",
		`{"properties":{"a":{"anyOf":[{"properties":{"b":` + personal + `}},{"type":"string"}]}}}`:                               "inside of a list",
		`{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"properties":{"b":` + personal + `}}}}`:                          "",
		`{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"properties":{"b":` + personal + `,"a":{"$ref":"#/$defs/a"}}}}}`: "contains itself",
		`{"properties":{"a":{"$ref":"#/$defs/a"},"b":` + personal + `},"$defs":{"a":{"properties":{"a":{"$ref":"#/$defs/a"}}}}}`: "",
		`{"properties":{"a":{"items":{"$ref":"#/$defs/a"}}},"$defs":{"a":{"properties":{"b":` + personal + `}}}}`:                "inside of a list",
		`{"properties":{"a":{"x-personal":"me"}}}`:                                                                               "names nobody",
		`{"properties":{"a":{"x-personal":"user/{"}}}`:                                                                           "not closed",
		personal: "not the whole data",
	} {
		const before = `{"components":{"messages":{"m":{"payload":{"schema":{"properties":{"type":{"const":"t"},"dataversion":{"const":1},"data":`
		_, err := schema.Read([]byte(before + data + `}}}}}}}`))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
}
