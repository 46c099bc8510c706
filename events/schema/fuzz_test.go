package schema_test

import (
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

// FuzzRead: a document from outside is refused or checks events; it never panics.
func FuzzRead(f *testing.F) {
	doc, err := schema.AsyncAPI(schema.Info{}, events.MustRegistry(events.Define(&tree{Key: "k"}, "k")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc, []byte(`{"key":"k","children":[]}`))
	f.Add([]byte(`{"components":{"messages":{"m":{"payload":{"schema":{"properties":{"type":{"const":"tree"},"dataversion":{"const":1},`+
		`"data":{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}}}}}}}}`), []byte(`7`))
	f.Fuzz(func(_ *testing.T, document, data []byte) {
		d, err := schema.Read(document)
		if err != nil {
			return
		}
		_ = d.Check(events.Event{Type: "tree", Version: 1, Data: data})
	})
}

// FuzzBreaking: whatever stands in a committed file, it is compared in the end; and
// nothing breaks what it equals.
func FuzzBreaking(f *testing.F) {
	f.Add([]byte(`{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}`), []byte(`{"properties":{"a":{"type":"string"}}}`))
	f.Add([]byte(`{"$defs":{"a":{"properties":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}},"$ref":"#/$defs/a"}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, committed, now []byte) {
		_, _ = schema.Breaking(committed, now)
		if same, err := schema.Breaking(committed, committed); err == nil && len(same) > 0 {
			t.Errorf("%s breaks itself: %v", committed, same)
		}
	})
}
