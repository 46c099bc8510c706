package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

// letter has personal members of two people, at two depths, and requires one of them.
type letter struct {
	From    string          `json:"from"`
	To      string          `json:"to"`
	Text    string          `json:"text" personal:"user/{from}"`
	Address home            `json:"address"`
	Extra   json.RawMessage `json:"extra,omitempty" personal:"subject"`
	Amount  int             `json:"amount" personal:"subject"`
}

type home struct {
	Street string `json:"street" personal:"user/{to}"`
	City   string `json:"city"`
}

func (letter) EventType() string      { return "letter.sent" }
func (letter) EventVersion() int      { return 2 }
func (l letter) Subject() string      { return "user/" + l.From }
func (l letter) PartitionKey() string { return l.From }
func (l letter) Validate() error {
	if l.Text == "" {
		return errors.New("text is empty")
	}
	return nil
}

func exampleLetter() letter {
	return letter{From: "1", To: "2", Text: "hi", Address: home{"Main St 1", "Lima"}, Extra: json.RawMessage(`[1]`), Amount: 7}
}

// letterV1 has nothing personal, and its lift needs a text.
type letterV1 struct{ From, Text string }

func (letterV1) EventType() string      { return "letter.sent" }
func (letterV1) EventVersion() int      { return 1 }
func (l letterV1) Subject() string      { return "user/" + l.From }
func (l letterV1) PartitionKey() string { return l.From }

const sealedText = `{"$sealed":"eA==","subject":"user/1","key":"k"}`

func TestSealedMembersAreWithheld(t *testing.T) {
	r := events.MustRegistry(events.Define(exampleLetter(), "the sender's id"),
		events.DefineOld(letterV1{"1", "hi"}, "the sender's id", func(old letterV1) (letter, error) { return letter{From: old.From, Text: old.Text}, nil }))
	e := events.Event{Type: "letter.sent", Version: 2, PartitionKey: "1"}
	for _, c := range []struct {
		data     string
		want     letter
		withheld bool
	}{
		{`{"from":"1","to":"2","text":"hi","address":{"street":"s","city":"c"},"amount":7}`,
			letter{From: "1", To: "2", Text: "hi", Address: home{"s", "c"}, Amount: 7}, false},
		{`{"from":"1","to":"2","text":` + sealedText + `,"address":{"street":"s","city":"c"},"amount":7}`,
			letter{From: "1", To: "2", Address: home{"s", "c"}, Amount: 7}, true},
		{`{ "from":"1","to":"2", "text" : "hi","address":{"\u0073treet":` + sealedText + ` ,"city":"c"},"AMOUNT":` + sealedText + `,"amount":` + sealedText + `}`,
			letter{From: "1", To: "2", Text: "hi", Address: home{"", "c"}}, true},
		{`{"from":"1","to":"2","text":"hi","address":{"street":"s","city":"c"},"amount":7,"extra":{"$sealed":"","subject":"x"}}`,
			letter{From: "1", To: "2", Text: "hi", Address: home{"s", "c"}, Amount: 7, Extra: json.RawMessage("null")}, true},
	} {
		e.Data = json.RawMessage(c.data)
		got, err := r.Decode(e)
		if err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", c.want) || r.Withholds(e) != c.withheld || r.Check(e) != nil {
			t.Errorf("%s: %+v, %v, withheld %v, check %v", c.data, got, err, r.Withholds(e), r.Check(e))
		}
	}
	for data, want := range map[string]string{
		`{"from":"1","to":"2","text":"","address":{"street":"s","city":"c"},"amount":7}`:                                 "text is empty",
		`{"from":"1","to":"2","text":` + sealedText + `,"address":{"street":` + sealedText + `},"amount":7}`:             `"address.city" is missing`,
		`{"from":"1","to":"2","text":` + sealedText + `,"address":` + sealedText + `,"amount":7}`:                        `"address.city" is missing`,
		`{"from":"2","to":"2","text":` + sealedText + `,"address":{"street":"s","city":"c"},"amount":7}`:                 "names \"2\"",
		`{"from":"1","to":` + sealedText + `,"text":"t","address":{"street":"s","city":"c"},"amount":7}`:                 "cannot unmarshal object",
		`{"from":"1","to":"2","text":{"$sealed":"","subject":"u","x":1},"address":{"street":"s","city":"c"},"amount":7}`: "cannot unmarshal object",
	} {
		e.Data = json.RawMessage(data)
		if _, err := r.Decode(e); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
	old := events.Event{Type: "letter.sent", Version: 1, PartitionKey: "1", Data: json.RawMessage(`{"From":"1","Text":"t"}`)}
	if p, err := r.Decode(old); err != nil || r.Withholds(old) || p.(letter).Text != "t" || r.Personal(old) != nil || len(r.Personal(e)) != 4 {
		t.Errorf("the old version: %v, %v", p, err)
	}
}

// Types whose personal members cannot be sealed, or not be left out.
type (
	listed struct {
		letterV1
		All []home
	}
	nested struct {
		letterV1
		Inner *nested
		Name  string `personal:"subject"`
	}
	key struct {
		letterV1
		Key string `personal:"subject"`
	}
	nobody struct {
		letterV1
		Name string `personal:"user"`
	}
	absent struct {
		letterV1
		Name string `personal:"user/{id}"`
	}
	circular struct {
		letterV1
		To   string `personal:"subject"`
		Name string `personal:"user/{To}"`
	}
	empty struct {
		letterV1
		Name *string `json:",omitempty" personal:"subject"`
	}
	fragile struct {
		letterV1
		Name strict `personal:"subject"`
	}
	anonymous struct {
		letterV1
		Name string `personal:"subject"`
	}
	strict string
)

func (k key) PartitionKey() string { return k.Key }
func (anonymous) Subject() string  { return "" }
func (s *strict) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return errors.New("a name is needed")
	}
	return json.Unmarshal(b, (*string)(s))
}

func TestPersonalMembersThatCannotBeSealed(t *testing.T) {
	old := letterV1{From: "1"}
	for _, c := range []struct {
		typ  events.Type
		want string
	}{
		{events.Define(listed{old, nil}, "k"), "declare it personal as a whole"},
		{events.Define(nested{old, &nested{}, "n"}, "k"), "contains itself"},
		{events.Define(key{old, "k"}, "k"), "partition key depends on a personal member"},
		{events.Define(nobody{old, "n"}, "k"), `"user" names nobody`},
		{events.Define(absent{old, "n"}, "k"), `member "id" is missing`},
		{events.Define(circular{old, "2", "n"}, "k"), `"To" is personal itself`},
		{events.Define(empty{old, nil}, "k"), `nothing in its personal member "Name"`},
		{events.Define(fragile{old, "n"}, "k"), "a name is needed"},
		{events.Define(anonymous{old, "n"}, "k"), "subject: absent"},
	} {
		if _, err := events.NewRegistry(c.typ); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.typ.GoType(), err, c.want)
		}
	}
	lift := events.DefineOld(letterV2{letter: exampleLetter()}, "k", func(l letterV2) (letterV3, error) {
		if l.Text == "" {
			return letterV3{}, errors.New("no text")
		}
		return letterV3(l), nil
	})
	if _, err := events.NewRegistry(lift, events.Define(letterV3{exampleLetter()}, "k")); err == nil || !strings.Contains(err.Error(), "no text") {
		t.Errorf("a lift that needs what is sealed: %v", err)
	}
}

type (
	letterV2 struct{ letter }
	letterV3 struct{ letter }
)

func (letterV3) EventVersion() int { return 3 }

func TestRewritePersonalLeavesTheRest(t *testing.T) {
	members := []events.PersonalMember{{Path: []string{"a", "b"}}, {Path: []string{"c"}}}
	for data, want := range map[string]string{
		` { "x" : 1.50e+1 , "a":{"b" :"1","c":2}, "c": [ 1,{} ] } `: ` { "x" : 1.50e+1 , "a":{"b" :<"1">,"c":2}, "c": <[ 1,{} ]> } `,
		`{"c":1,"\u0043":2,"c":null}`:                               `{"c":<1>,"\u0043":<2>,"c":null}`,
		`{"a":null,"b":1}`:                                          `{"a":null,"b":1}`,
		`{"a":[{"b":1}]}`:                                           `{"a":[{"b":1}]}`,
		`"c"`:                                                       `"c"`, ``: ``, `{}`: `{}`, `{"c"`: `{"c"`, `{"c":1,`: `{"c":<1>,`,
	} {
		got, err := events.RewritePersonal(json.RawMessage(data), members, func(_ events.PersonalMember, value json.RawMessage) (json.RawMessage, error) {
			return fmt.Appendf(nil, "<%s>", value), nil
		})
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", data, got, err, want)
		}
	}
	refused := errors.New("refused")
	if _, err := events.RewritePersonal(json.RawMessage(`{"a":{"b":1}}`), members, func(events.PersonalMember, json.RawMessage) (json.RawMessage, error) {
		return nil, refused
	}); err != refused {
		t.Errorf("an error: %v", err)
	}
}
