package schema_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

// mute has an example that cannot be written as JSON.
type mute struct{ tree }

func (mute) MarshalJSON() ([]byte, error) { return nil, errors.New("mute") }

func TestNoPartitionKeyIsNamedWithoutAnExample(t *testing.T) {
	doc, err := schema.Of(events.Define(&mute{tree{Key: "k"}}, "k"))
	if err != nil || strings.Contains(string(doc), schema.PartitionKey) {
		t.Errorf("%v\n%s", err, doc)
	}
}

func TestReadFileNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.json")
	write := func(content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("asyncapi: 3.0.0"))
	if _, err := schema.ReadFile(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file that is no JSON: %v", err)
	}
	document, err := schema.AsyncAPI(schema.Info{Title: "Shop", Version: "1", Stream: "s"}, events.MustRegistry(typeOfShipped()))
	if err != nil {
		t.Fatal(err)
	}
	write(document)
	d, err := schema.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	typ := typeOfShipped()
	if err := d.Check(events.Event{Type: typ.Name, Version: typ.Version, PartitionKey: "7", Data: []byte("{}")}); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("an event without members: %v", err)
	}
}

func TestBreakingAtTheRoot(t *testing.T) {
	found, err := schema.Breaking([]byte(`{"type":"object","x-partition-key":"id"}`), []byte(`{"type":"array"}`))
	want := []string{
		`the partition key was member "id" and is no single member: one entity's old and new events would lose their order`,
		`the data: its type was "object" and is "array"`,
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("%q, %v", found, err)
	}
	for _, texts := range [][2]string{{"{}", "no"}, {"no", "{}"}} {
		if _, err := schema.Breaking([]byte(texts[0]), []byte(texts[1])); err == nil {
			t.Errorf("compared %q", texts)
		}
	}
}
