package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

func TestADocumentChecksAsItsRegistry(t *testing.T) {
	r := events.MustRegistry(typeOfShipped(), events.Define(&tree{Key: "k"}, "the key, twice"))
	doc, err := schema.AsyncAPI(schema.Info{Title: "Shop", Version: "1", Stream: "s"}, r)
	if err != nil {
		t.Fatal(err)
	}
	d, err := schema.Read(doc)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(typeOfShipped().Example)
	if err != nil {
		t.Fatal(err)
	}
	shippedName := typeOfShipped().Name
	for _, tc := range []struct {
		eventType string
		version   int
		key, data string
		want      string // in the document's error
	}{
		{shippedName, 2, "7", string(whole), ""},
		{shippedName, 2, "8", string(whole), `partitionkey: the envelope has "8", and order/shipped & gone version 2 names "7" in its member "customer"`},
		{shippedName, 2, "7", `{}`, "data: does not fit order/shipped & gone version 2: at '': missing properties 'id', 'order'"},
		{shippedName, 2, "7", strings.Replace(string(whole), `"street":""`, `"street":1`, 1), "at '/to/street': got number, want string"},
		{shippedName, 2, "7", `{`, "does not fit"},
		{shippedName, 3, "7", `{}`, ""},
		{"nobody's", 1, "7", `{}`, ""},
		{"tree", 1, "kk", `{"key":"k","children":[{"key":"c","children":[]}]}`, ""},
		{"tree", 1, "kk", `{"key":"k","children":[{"key":7}]}`, "'/children/0'"},
	} {
		e := events.Event{ID: "e", Type: tc.eventType, Version: tc.version, PartitionKey: tc.key, Data: json.RawMessage(tc.data)}
		err := d.Check(e)
		if (err == nil) != (tc.want == "") || err != nil && (!errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.data, err, tc.want)
		}
		if byRegistry := r.Check(e); (byRegistry == nil) != (err == nil) {
			t.Errorf("%s: by the document %v, by the registry %v", tc.data, err, byRegistry)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	const message = `{"components":{"messages":{"m":{"payload":{"schema":{"properties":{"type":{"const":"t"},"dataversion":{"const":1}%s}}}}}}}`
	for document, want := range map[string]string{
		`asyncapi: 3.0.0`:                     "in JSON",
		`{}`:                                  "no messages",
		strings.Replace(message, "%s", "", 1): `message "m"`,
		strings.Replace(message, "%s", `,"data":{"type":"thing"}`, 1):                                         `message "m"`,
		strings.Replace(message, "%s", `,"data":{"$ref":"https://example.com/elsewhere.json"}`, 1):            `message "m"`,
		strings.Replace(message, "%s", `,"data":{"x-partition-key":["a"]}`, 1):                                `x-partition-key must be the name of a member, not [a]`,
		strings.Replace(message, "%s", `,"data":{"$ref":"file:///etc/passwd"}`, 1):                            `message "m"`,
		`{"components":{"messages":{"m":{"payload":{"schema":{"properties":{"dataversion":{"const":1}}}}}}}}`: `message "m"`,
	} {
		if _, err := schema.Read([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
	if _, err := schema.ReadFile("testdata/absent.json"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

// handwritten is a document of the type t, whose members a developer wrote by hand.
func handwritten(t *testing.T, messages ...string) (*schema.Document, error) {
	t.Helper()
	all := map[string]any{}
	for i, data := range messages {
		var payload any
		text := `{"payload":{"schema":{"properties":{"type":{"const":"t"},"dataversion":{"const":1},"data":` + data + `}}}}`
		if err := json.Unmarshal([]byte(text), &payload); err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprint("m", i)] = payload
	}
	document, err := json.Marshal(map[string]any{"components": map[string]any{"messages": all}})
	if err != nil {
		t.Fatal(err)
	}
	return schema.Read(document)
}

// TestReadRefusesAVersionDefinedTwice: which of the two counted would be chance.
func TestReadRefusesAVersionDefinedTwice(t *testing.T) {
	_, err := handwritten(t, `{"type":"string"}`, `{"type":"object"}`)
	if err == nil || !strings.Contains(err.Error(), `another message has the type "t" version 1`) {
		t.Error(err)
	}
}

// TestAPartitionKeyThatTheDataLacks is named by its member, and whatever errors quote
// is bounded: they become answers, log lines and dead letters.
func TestAPartitionKeyThatTheDataLacks(t *testing.T) {
	d, err := handwritten(t, `{"x-partition-key":"customer","properties":{"note":{"maxLength":9,"pattern":"^(a+)+$"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ü", 1<<20)
	for data, want := range map[string]string{
		`{}`:                          `its member "customer", the partition key, must be a text or a number`,
		`{"customer":null}`:           `its member "customer", the partition key, must be`,
		`{"customer":{}}`:             `its member "customer", the partition key, must be`,
		`{"customer":7}`:              `names "7"`,
		`{"note":"` + long + `"}`:     "'/note'",
		`{"customer":"` + long + `"}`: `names "üü`,
	} {
		err := d.Check(events.Event{ID: "e", Type: "t", Version: 1, PartitionKey: "<nil>", Data: json.RawMessage(data)})
		if !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), want) || len(err.Error()) > 3000 || !utf8.ValidString(err.Error()) {
			t.Errorf("%.40s: %.400v, want %s", data, err, want)
		}
	}
}
