package timeline_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
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

func newConsumer(t *testing.T, m *timeline.Model) *consumers.Consumer {
	t.Helper()
	c, err := consumers.New(consumers.Config{Name: "timeline", Handler: m.Handle, Policy: consumers.Halt, Concurrency: 16})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newModel(t *testing.T, cfg timeline.Config) *timeline.Model {
	t.Helper()
	m, err := timeline.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFoldIsTheLegacyQuery checks the specification itself against what the
// monolith would answer, which is computed in another way.
func TestFoldIsTheLegacyQuery(t *testing.T) {
	for _, seed := range seeds(8) {
		w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 400, Shards: 3})
		state := fold(t, w).Timelines(0)
		for _, user := range w.Users {
			var got []string
			for _, e := range state[user].Entries {
				got = append(got, e.PostID)
			}
			if want := w.LegacyTimeline(user); !slices.Equal(got, want) {
				t.Fatalf("seed %d: user %s sees %v, in the legacy %v", seed, user, got, want)
			}
			if got, want := state[user].Name, w.LegacyName(user); got != want {
				t.Fatalf("seed %d: user %s is called %q, in the legacy %q", seed, user, got, want)
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
			table := db.CreateTable(timeline.TableInput)
			w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 160, Shards: 4})
			c := newConsumer(t, newModel(t, timeline.Config{Client: db.Client(faults), Table: table, Page: 3}))
			streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
			expect(t, db.Client(nil), table, fold(t, w).Timelines(0), 0)
			if faults.Felt() == 0 {
				t.Error("no fault was felt")
			}
		})
	}
}

func expect(t *testing.T, client *dynamodb.Client, table string, want socialtest.Timelines, limit int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := socialtest.SnapshotTimelines(ctx, client, table, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range socialtest.DiffTimelines(want, got) {
		t.Error(d)
	}
}
