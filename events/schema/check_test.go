package schema_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

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
		strings.Replace(message, "%s", `,"data":{"$ref":"file:///etc/passwd"}`, 1):                            `message "m"`,
		`{"components":{"messages":{"m":{"payload":{"schema":{"properties":{"dataversion":{"const":1}}}}}}}}`: `message "m"`,
	} {
		if _, err := schema.Read([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
}
