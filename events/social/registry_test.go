package social_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

var update = flag.Bool("update", false, "add fixtures that testdata does not have yet; those that are there are never written again")

func fixture(e events.Type) string {
	return filepath.Join("testdata", fmt.Sprintf("%s.v%d.json", e.Name, e.Version))
}

// Every event ever published must stay readable: a fixture is what was
// published with that version, so it is added once and never changed.
func TestEveryVersionEverPublishedDecodes(t *testing.T) {
	entries := make(map[string]events.Type)
	for _, entry := range social.Registry().Types() {
		entries[fixture(entry)] = entry
		if *update {
			addFixture(t, entry)
		}
		if _, err := os.Stat(fixture(entry)); err != nil {
			t.Errorf("%s version %d has no fixture: run go test ./events/social -update", entry.Name, entry.Version)
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
				t.Fatal("its version is no longer in the registry")
			}
			checkFixture(t, file, entry)
		})
	}
}

func addFixture(t *testing.T, entry events.Type) {
	if _, err := os.Stat(fixture(entry)); err == nil {
		return
	}
	noon := time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return noon }
	factory := events.Factory{Now: now, Clock: &events.Clock{Now: now}}
	e, err := factory.New(context.Background(), "/fixture", entry.Example)
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

func checkFixture(t *testing.T, file string, entry events.Type) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := events.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := social.Registry().Decode(e)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(entry.Example, p); diff != "" {
		t.Error(diff)
	}
	if e.Type != entry.Name || e.Version != entry.Version || e.PartitionKey != p.PartitionKey() || e.Subject != p.Subject() {
		t.Errorf("envelope %+v does not fit its payload %+v", e, p)
	}
}

func TestRegistryIsComplete(t *testing.T) {
	seen := make(map[string]bool)
	for _, entry := range social.Registry().Types() {
		if entry.PartitionKey == "" || seen[fixture(entry)] {
			t.Errorf("%s version %d: no words for its key, or listed twice", entry.Name, entry.Version)
		}
		seen[fixture(entry)] = true
		for i, v := 0, reflect.ValueOf(entry.Example); i < v.NumField(); i++ {
			if v.Field(i).IsZero() {
				t.Errorf("%s version %d: the example leaves %s out", entry.Name, entry.Version, v.Type().Field(i).Name)
			}
		}
	}
}

func Example() {
	e, err := events.New(context.Background(), "/monolith", social.UserJoined{UserID: "u1", Name: "Ada"})
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
	p, err := social.Registry().Decode(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	switch p := p.(type) {
	case social.UserJoined:
		fmt.Println(p.Name, "joined, key", e.PartitionKey)
	}
	// Output: Ada joined, key u1
}
