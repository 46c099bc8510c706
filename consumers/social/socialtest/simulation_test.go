package socialtest_test

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
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// TestMain lets bleve have its workers, which it starts when it is linked.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

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

func fold(t *testing.T, w *streamtest.World) *socialtest.Fold {
	t.Helper()
	f := socialtest.NewFold()
	for _, m := range w.Messages {
		if err := f.Apply(m); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// TestFoldIsTheLegacyQuery checks the specification itself against what the monolith
// would answer, which is computed in another way.
func TestFoldIsTheLegacyQuery(t *testing.T) {
	for _, seed := range seeds(8) {
		w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 400, Shards: 3})
		f := fold(t, w)
		timelines, profiles := f.Timelines(0), f.Profiles()
		for _, user := range w.Users {
			var posts []string
			for _, e := range timelines[user].Entries {
				posts = append(posts, e.PostID)
			}
			if want := w.LegacyTimeline(user); !slices.Equal(posts, want) {
				t.Fatalf("seed %d: user %s sees %v, in the legacy %v", seed, user, posts, want)
			}
			followers, following, written := w.LegacyCounters(user)
			p := profiles[user]
			if p.Followers != int64(followers) || p.Following != int64(following) || p.Posts != int64(written) {
				t.Fatalf("seed %d: user %s has %+v, in the legacy %d followers, %d followees, %d posts", seed, user, p, followers, following, written)
			}
			if want := w.LegacyName(user); p.Name != want || timelines[user].Name != want {
				t.Fatalf("seed %d: user %s is called %q and %q, in the legacy %q", seed, user, p.Name, timelines[user].Name, want)
			}
		}
	}
}

// models are the read models, each with how its table differs from a fold.
var models = map[string]struct {
	handler func(client *dynamodb.Client, table string) (consumers.Handler, error)
	diff    func(ctx context.Context, client *dynamodb.Client, table string, f *socialtest.Fold) ([]socialtest.Difference, error)
}{
	"profile": {
		handler: func(client *dynamodb.Client, table string) (consumers.Handler, error) {
			m, err := profile.New(profile.Config{Client: client, Table: table})
			return m.Handle, err
		},
		diff: func(ctx context.Context, client *dynamodb.Client, table string, f *socialtest.Fold) ([]socialtest.Difference, error) {
			got, err := socialtest.SnapshotProfiles(ctx, client, table)
			return socialtest.DiffProfiles(f.Profiles(), got), err
		},
	},
	"timeline": {
		handler: func(client *dynamodb.Client, table string) (consumers.Handler, error) {
			m, err := timeline.New(timeline.Config{Client: client, Table: table, Page: 3})
			return m.Handle, err
		},
		diff: func(ctx context.Context, client *dynamodb.Client, table string, f *socialtest.Fold) ([]socialtest.Difference, error) {
			got, err := socialtest.SnapshotTimelines(ctx, client, table, 0)
			return socialtest.DiffTimelines(f.Timelines(0), got), err
		},
	},
}

// TestOnceInEffect: whatever is delivered twice, in part, late, or cut short, while the
// table fails now and then, the table is the fold in the end.
func TestOnceInEffect(t *testing.T) {
	for name, model := range models {
		for _, seed := range seeds(3) {
			t.Run(fmt.Sprint(name, "/seed", seed), func(t *testing.T) {
				t.Parallel()
				faults := streamtest.NewFaults(seed, 15)
				db := streamtest.NewDynamoDB(t)
				table := db.CreateTable(dynamo.CompositeTable)
				handler, err := model.handler(db.Client(faults), table)
				if err != nil {
					t.Fatal(err)
				}
				c, err := consumers.New(consumers.Config{
					Name: name, Handler: handler, Registry: social.Registry(), Policy: consumers.Halt, Concurrency: 16,
				})
				if err != nil {
					t.Fatal(err)
				}
				w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 12, Events: 160, Shards: 4})
				streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				differences, err := model.diff(ctx, db.Client(nil), table, fold(t, w))
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range differences {
					t.Error(d)
				}
				if faults.Injected() == 0 {
					t.Error("no fault was injected")
				}
			})
		}
	}
}

// TestCelebritiesOnceInEffect: the same for timelines whose authors have more followers
// than their posts are written to, from about the middle on, while fan-outs and marks go
// from page to page over a queue whose messages come again or are handled in part. The
// reader shows the fold, page by page.
func TestCelebritiesOnceInEffect(t *testing.T) {
	for _, seed := range seeds(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			faults := streamtest.NewFaults(seed, 25)
			db, queue := streamtest.NewDynamoDB(t), streamtest.NewQueue(t)
			table := db.CreateTable(dynamo.CompositeTable)
			m, err := timeline.New(timeline.Config{Client: db.Client(faults), Table: table, Page: 1, Threshold: 2, Enqueue: queue.Send})
			if err != nil {
				t.Fatal(err)
			}
			c, err := consumers.New(consumers.Config{
				Name: "timeline", Handler: m.Handle, Registry: social.Registry(), Policy: consumers.Halt, Concurrency: 16,
			})
			if err != nil {
				t.Fatal(err)
			}
			w := streamtest.NewWorld(t, seed, streamtest.Size{Users: 10, Events: 160, Shards: 10})
			delivered := make(chan struct{})
			go func() {
				defer close(delivered)
				streamtest.Delivery{Seed: seed, Rough: true}.Deliver(t, w, c)
			}()
			queue.Consume(seed, true, delivered, m.Continue)
			client, want := db.Client(nil), fold(t, w).Timelines(0)
			got, err := socialtest.SnapshotTimelines(t.Context(), client, table, 0)
			if err != nil {
				t.Fatal(err)
			}
			read, err := socialtest.DiffPages(t.Context(), timeline.NewReader(client, table), want, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range append(socialtest.DiffTimelines(want, got), read...) {
				t.Error(d)
			}
			if n := celebrities(t, client, table); n == 0 || n == len(w.Users) || queue.Sent() == 0 || faults.Injected() == 0 {
				t.Errorf("%d celebrities among %d users, %d messages, %d faults", n, len(w.Users), queue.Sent(), faults.Injected())
			}
		})
	}
}

func celebrities(t *testing.T, client *dynamodb.Client, table string) (n int) {
	t.Helper()
	out, err := client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range out.Items {
		if dynamo.StringOf(item, dynamo.AttrSK) == "celebrity" {
			n++
		}
	}
	return n
}

func TestDifferencesAreLostOrTwice(t *testing.T) {
	const ada, bob = "ada", "bob"
	check := func(all []socialtest.Difference, wantLost, wantTwice int) {
		t.Helper()
		if lost, twice := socialtest.Count(all, socialtest.Lost), socialtest.Count(all, socialtest.Twice); lost != wantLost || twice != wantTwice {
			t.Errorf("%d lost, %d twice, want %d and %d: %v", lost, twice, wantLost, wantTwice, all)
		}
	}
	profiles := func(name string, followers, posts int64) socialtest.Profiles {
		return socialtest.Profiles{ada: {Profile: profile.Profile{UserID: ada, Name: name, Followers: followers, Posts: posts}}}
	}
	check(socialtest.DiffProfiles(profiles("Ada", 2, 1), profiles("A", 1, 2)), 2, 1)
	check(socialtest.DiffProfiles(profiles("Ada", 2, 1), profiles("Ada", 2, 1)), 0, 0)

	entry := func(id string) timeline.Entry { return timeline.Entry{PostID: id, AuthorID: ada} }
	at := func(n int) socialtest.Timeline {
		return socialtest.Timeline{Applied: streamtest.Message(t, n, social.UserJoined{UserID: ada, Name: ada, JoinedAt: streamtest.Start}).Position}
	}
	want, got := at(2), at(1)
	want.Name, want.Entries = "Ada", []timeline.Entry{entry("3"), entry("2"), entry("1")}
	got.Name, got.Floor, got.Entries = "A", "1", []timeline.Entry{entry("4"), entry("2")}
	check(socialtest.DiffTimelines(
		socialtest.Timelines{ada: want}, socialtest.Timelines{ada: got, bob: {Entries: []timeline.Entry{entry("9")}}}), 3, 2)
	check(socialtest.DiffTimelines(socialtest.Timelines{ada: want}, socialtest.Timelines{ada: want}), 0, 0)
}
