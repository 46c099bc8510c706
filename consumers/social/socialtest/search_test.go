package socialtest_test

import (
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/embedded"
	"github.com/banyan-fig/banyan/consumers/search/projection"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/events/social"
)

// TestUsersAreFoundByNameAndFollowers: whatever is delivered twice, late or in part, what is found is
// brute force over the fold of the events.
func TestUsersAreFoundByNameAndFollowers(t *testing.T) {
	for _, seed := range seeds(2) {
		db := streamtest.NewDynamoDB(t)
		table := db.CreateTable(profile.TableInput)
		m, err := profile.New(profile.Config{Client: db.Client(streamtest.NewFaults(seed, 10)), Table: table})
		if err != nil {
			t.Fatal(err)
		}
		c, err := consumers.New(consumers.Config{Name: "profile", Handler: m.Handle, Registry: social.Registry(), Policy: consumers.Halt, Concurrency: 16})
		if err != nil {
			t.Fatal(err)
		}
		w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 160, Shards: 4})
		streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
		index, err := embedded.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		p, err := projection.New(projection.Config{Tables: db.Client(nil), Table: table, Fields: profile.SearchFields(), Index: index,
			Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Rebuild(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := searchtest.Brute{}
		for user, is := range fold(t, w).Profiles() {
			want.Write(searchtest.Document(user, is.Name, is.Followers, 1))
		}
		queries := []string{"name", "nmae of", "of", "1", "2", "name 1 of"}
		for _, user := range w.Users {
			queries = append(queries, user[20:])
		}
		for _, query := range queries {
			page, err := search.Searcher{Index: index}.Search(t.Context(), query, "", search.MaxLimit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range page.Hits {
				got = append(got, h.Key)
			}
			if expected := want.Search(query); !slices.Equal(got, expected) {
				t.Errorf("seed %d: %q finds %v, want %v", seed, query, got, expected)
			}
		}
		if err := index.Close(); err != nil {
			t.Error(err)
		}
	}
}
