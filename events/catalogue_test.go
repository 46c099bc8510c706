package events_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
)

var update = flag.Bool("update", false, "add fixtures that testdata does not have yet; those that are there are never written again")

func fixture(e events.Entry) string {
	return filepath.Join("testdata", fmt.Sprintf("%s.v%d.json", e.Type, e.Version))
}

// Every event ever published must stay readable: a fixture is what was
// published with that version, so it is added once and never changed.
func TestEveryVersionEverPublishedDecodes(t *testing.T) {
	entries := make(map[string]events.Entry)
	for _, entry := range events.Catalogue() {
		entries[fixture(entry)] = entry
		if *update {
			addFixture(t, entry)
		}
		if _, err := os.Stat(fixture(entry)); err != nil {
			t.Errorf("%s version %d has no fixture: run go test ./events -update", entry.Type, entry.Version)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			entry, ok := entries[file]
			if !ok {
				t.Fatal("its version is no longer in the catalogue")
			}
			checkFixture(t, file, entry)
		})
	}
}

func addFixture(t *testing.T, entry events.Entry) {
	if _, err := os.Stat(fixture(entry)); err == nil {
		return
	}
	noon := time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return noon }
	mint := events.Mint{Now: now, Clock: &events.Clock{Now: now}}
	e, err := mint.New(context.Background(), "/fixture", entry.Example)
	if err != nil {
		t.Fatal(err)
	}
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fixture(entry), append(b, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkFixture(t *testing.T, file string, entry events.Entry) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Payload()
	if err != nil {
		t.Fatal(err)
	}
	got := reflect.ValueOf(p).Elem().Interface()
	if diff := cmp.Diff(any(entry.Example), got); diff != "" {
		t.Error(diff)
	}
	if e.Type != entry.Type || e.Version != entry.Version || e.PartitionKey != p.PartitionKey() || e.Subject != p.Subject() {
		t.Errorf("envelope %+v does not fit its payload %+v", e, p)
	}
}

func TestCatalogueSaysWhatItHas(t *testing.T) {
	seen := make(map[string]bool)
	for _, entry := range events.Catalogue() {
		if entry.PartitionKey == "" || seen[fixture(entry)] {
			t.Errorf("%s version %d: no words for its key, or listed twice", entry.Type, entry.Version)
		}
		seen[fixture(entry)] = true
		for i, v := 0, reflect.ValueOf(entry.Example); i < v.NumField(); i++ {
			if v.Field(i).IsZero() {
				t.Errorf("%s version %d: the example leaves %s out", entry.Type, entry.Version, v.Type().Field(i).Name)
			}
		}
	}
}

func TestPayloadErrors(t *testing.T) {
	if _, err := change(func(e *events.Event) { e.Type = "user.vanished" }).Payload(); !errors.Is(err, events.ErrUnknownType) {
		t.Errorf("unknown type: %v", err)
	}
	if _, err := change(func(e *events.Event) { e.Version = 2 }).Payload(); !errors.Is(err, events.ErrUnknownType) {
		t.Errorf("unknown version: %v", err)
	}
	if _, err := change(func(e *events.Event) { e.Data = []byte(`{"userId":1}`) }).Payload(); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("data of another shape: %v", err)
	}
	p, err := change(func(e *events.Event) { e.Data = []byte(`{"userId":"u","since":"v9"}`) }).Payload()
	if joined, ok := p.(*events.UserJoined); err != nil || !ok || joined.UserID != "u" {
		t.Errorf("a member of a later version: %v, %v", p, err)
	}
}

func Example() {
	e, err := events.New(context.Background(), "/monolith", events.UserJoined{UserID: "u1", Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := events.Encode(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err = events.Decode(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := e.Payload()
	if err != nil {
		fmt.Println(err)
		return
	}
	switch p := p.(type) {
	case *events.UserJoined:
		fmt.Println(p.Name, "joined, key", e.PartitionKey)
	}
	// Output: Ada joined, key u1
}
