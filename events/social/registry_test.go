package social_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/eventstest"
	"github.com/banyan-fig/banyan/events/schema"
	"github.com/banyan-fig/banyan/events/social"
)

var update = flag.Bool("update", false, "record new versions of events, and the AsyncAPI document")

// Every event ever published stays readable.
func TestHistory(t *testing.T) {
	eventstest.CheckHistory(t, social.Registry(), "testdata/events", *update)
}

func TestAsyncAPI(t *testing.T) {
	const file = "testdata/asyncapi.json"
	got, err := schema.AsyncAPI(schema.Info{Title: "Events of the social network", Version: "1.0.0", Stream: "banyan-events"}, social.Registry())
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update if this is right): %s", file, diff)
	}
}

// The examples are what fixtures are made of.
func TestExamplesAreComplete(t *testing.T) {
	for _, typ := range social.Registry().Types() {
		for i, v := 0, reflect.ValueOf(typ.Example); i < v.NumField(); i++ {
			if v.Field(i).IsZero() {
				t.Errorf("%s version %d: the example leaves %s out", typ.Name, typ.Version, v.Type().Field(i).Name)
			}
		}
	}
}

func TestIDsAreRequired(t *testing.T) {
	for _, p := range []events.Payload{
		social.UserJoined{Name: "Ada"},
		social.UserProfileUpdated{Name: "Ada"},
		social.RelationshipFollowed{FolloweeID: "bob"},
		social.RelationshipFollowed{FollowerID: "ada"},
		social.RelationshipUnfollowed{FollowerID: "ada"},
		social.PostPublished{AuthorID: "ada"},
		social.UserLeft{},
		social.PostDeleted{AuthorID: "ada"},
		social.PostDeleted{PostID: "post"},
	} {
		if _, err := events.New(t.Context(), "/test", p); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func Example() {
	e, err := events.New(context.Background(), "/monolith", social.UserJoined{UserID: "u1", Name: "Ada"})
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
