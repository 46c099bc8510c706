package profile_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seeds are those of a simulation; BANYAN_SEEDS gives another number of them,
// BANYAN_SEED one alone.
func seeds(n int) (all []uint64) {
	if one, err := strconv.ParseUint(os.Getenv("BANYAN_SEED"), 10, 64); err == nil {
		return []uint64{one}
	}
	if more, err := strconv.Atoi(os.Getenv("BANYAN_SEEDS")); err == nil {
		n = more
	}
	for i := range n {
		all = append(all, uint64(i+1))
	}
	return all
}

func newConsumer(t *testing.T, m *profile.Model) *consumers.Consumer {
	t.Helper()
	c, err := consumers.New(consumers.Config{Name: "profile", Handler: m.Handle, Policy: consumers.Halt, Concurrency: 16})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newModel(t *testing.T, cfg profile.Config) *profile.Model {
	t.Helper()
	m, err := profile.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFoldIsTheLegacyQuery checks the specification itself against what the
// monolith would count, which is computed in another way.
func TestFoldIsTheLegacyQuery(t *testing.T) {
	for _, seed := range seeds(8) {
		w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 400, Shards: 3})
		state := fold(t, w).Profiles()
		for _, user := range w.Users {
			followers, following, posts := w.LegacyCounters(user)
			want := [3]int64{int64(followers), int64(following), int64(posts)}
			got := state[user]
			if counters := [3]int64{got.Followers, got.Following, got.Posts}; counters != want {
				t.Fatalf("seed %d: user %s has followers, following, posts %v, in the legacy %v", seed, user, counters, want)
			}
			if want := w.LegacyName(user); got.Name != want {
				t.Fatalf("seed %d: user %s is called %q, in the legacy %q", seed, user, got.Name, want)
			}
		}
	}
}

func fold(t *testing.T, w *streamtest.World) *socialtest.Fold {
	t.Helper()
	f := socialtest.NewFold()
	for _, m := range w.Told {
		if err := f.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestOnceInEffect: whatever is delivered twice, in part, late, or cut short,
// while the table fails now and then, the table is the fold in the end.
func TestOnceInEffect(t *testing.T) {
	for _, seed := range seeds(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			faults := streamtest.NewFaults(seed, 15)
			db := streamtest.NewDynamoDB(t)
			table := db.CreateTable(profile.TableInput)
			w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 160, Shards: 4})
			c := newConsumer(t, newModel(t, profile.Config{Client: db.Client(faults), Table: table}))
			streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
			expect(t, db.Client(nil), table, fold(t, w).Profiles())
			if faults.Felt() == 0 {
				t.Error("no fault was felt")
			}
		})
	}
}

func expect(t *testing.T, client *dynamodb.Client, table string, want socialtest.Profiles) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := socialtest.SnapshotProfiles(ctx, client, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range socialtest.DiffProfiles(want, got) {
		t.Error(d)
	}
}
