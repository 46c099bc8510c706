package relationships_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/jsonclient"
	"github.com/banyan-fig/banyan/services/social/internal/servicetest"
	"github.com/banyan-fig/banyan/services/social/plans"
	"github.com/banyan-fig/banyan/services/social/relationships/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func user(n int) string { return fmt.Sprintf("59b99db4cfa9a34d%08x", n) }

// world is a running service.
type world struct {
	servicetest.World
	*client.Client
	stream *userstest.Stream
}

func newWorld(t *testing.T, owner ownership.Store) (w world) {
	w.World, w.stream = servicetest.New(t)
	w.Own(t, plans.Relationships, owner)
	return w
}

// eachOwner runs a test on a service whose entity is MongoDB's, and DynamoDB's.
func eachOwner(t *testing.T, test func(*testing.T, world)) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			w := newWorld(t, owner)
			w.Client = w.Relationships(t)
			test(t, w)
		})
	}
}

// told are the events on the stream.
func (w world) told() (all []string) {
	for _, e := range w.stream.Events() {
		all = append(all, e.Type+" "+strings.ReplaceAll(e.Subject, "59b99db4cfa9a34d0000000", ""))
	}
	return all
}

// TestFollowAndUnfollow: repeating either is harmless, and told again.
func TestFollowAndUnfollow(t *testing.T) {
	eachOwner(t, func(t *testing.T, w world) {
		ctx := t.Context()
		var last events.Position
		later := func(what string, at events.Position, err error) {
			t.Helper()
			if err != nil || !last.Before(at) {
				t.Fatalf("%s: %v behind %v, %v", what, at, last, err)
			}
			last = at
		}
		at, err := w.Follow(ctx, user(1), user(2))
		later("follow", at, err)
		first, err := w.Get(ctx, user(1), user(2))
		if err != nil || first.Follower != user(1) || first.Followee != user(2) || time.Since(first.At) > time.Hour {
			t.Errorf("Get = %+v, %v", first, err)
		}
		at, err = w.Follow(ctx, user(1), user(2))
		later("follow again", at, err)
		if again, err := w.Get(ctx, user(1), user(2)); err != nil || again != first {
			t.Errorf("Get after following twice = %+v, %v, want %+v", again, err, first)
		}
		if _, err := w.Get(ctx, user(2), user(1)); !errors.Is(err, jsonclient.ErrNotFound) {
			t.Errorf("Get the other way round = %v", err)
		}
		for _, what := range []string{"unfollow", "unfollow again"} {
			at, err = w.Unfollow(ctx, user(1), user(2))
			later(what, at, err)
		}
		if _, err := w.Get(ctx, user(1), user(2)); !errors.Is(err, jsonclient.ErrNotFound) {
			t.Errorf("Get after unfollowing = %v", err)
		}
		at, err = w.Follow(ctx, user(1), user(2))
		later("follow anew", at, err)
		const f, u = "relationship.followed relationship/1/2", "relationship.unfollowed relationship/1/2"
		if got := w.told(); !slices.Equal(got, []string{f, f, u, u, f}) {
			t.Errorf("told %q", got)
		}
	})
}

// TestPages: both directions page by cursor, whole and in order.
func TestPages(t *testing.T) {
	eachOwner(t, func(t *testing.T, w world) {
		for i := range 7 {
			_, err := w.Follow(t.Context(), user(10+i), user(1))
			_, err2 := w.Follow(t.Context(), user(1), user(10+i))
			if err = errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
		}
		for what, c := range map[string]struct {
			list func(cursor string) (client.Page, error)
			id   func(client.Relationship) string
		}{
			"followers": {func(cursor string) (client.Page, error) { return w.Followers(t.Context(), user(1), cursor, 3) },
				func(r client.Relationship) string { return r.Follower }},
			"following": {func(cursor string) (client.Page, error) { return w.Following(t.Context(), user(1), cursor, 3) },
				func(r client.Relationship) string { return r.Followee }},
		} {
			var got, want []string
			for cursor, pages := "", 1; ; pages++ {
				page, err := c.list(cursor)
				if err != nil || len(page.Relationships) > 3 || pages > 4 {
					t.Fatalf("%s, page %d: %d of them, %v", what, pages, len(page.Relationships), err)
				}
				for _, r := range page.Relationships {
					got = append(got, c.id(r))
				}
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			for i := range 7 {
				want = append(want, user(10+i))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q", what, got)
			}
		}
	})
}

// TestDocumentsOfTheMonolith are told with their own time, and ended.
func TestDocumentsOfTheMonolith(t *testing.T) {
	w := newWorld(t, ownership.MongoDB)
	at := time.Date(2016, 11, 21, 9, 0, 0, 5e6, time.UTC)
	_, err := w.Mongo.Collection("follows").InsertOne(t.Context(), bson.D{{Key: "_id", Value: user(1) + ":" + user(2)},
		{Key: "follower", Value: user(1)}, {Key: "followee", Value: user(2)}, {Key: "at", Value: at}})
	if err != nil {
		t.Fatal(err)
	}
	w.Client = w.Relationships(t)
	if _, err := w.Follow(t.Context(), user(1), user(2)); err != nil {
		t.Fatal(err)
	}
	if page, err := w.Followers(t.Context(), user(2), "", 10); err != nil || len(page.Relationships) != 1 || !page.Relationships[0].At.Equal(at) {
		t.Errorf("Followers = %+v, %v", page, err)
	}
	if _, err := w.Unfollow(t.Context(), user(1), user(2)); err != nil {
		t.Fatal(err)
	}
	all := w.stream.Events()
	if len(all) != 2 || !strings.Contains(string(all[0].Data), `"at":"2016-11-21T09:00:00.005Z"`) || all[1].Type != "relationship.unfollowed" {
		t.Errorf("told %+v", all)
	}
}

func TestWhatIsRefused(t *testing.T) {
	eachOwner(t, func(t *testing.T, w world) {
		pair := "/v1/relationships/" + user(1) + "/" + user(2)
		for _, c := range []struct {
			method, path string
			want         error
		}{
			{"PUT", "/v1/relationships/" + user(1) + "/" + user(1), jsonclient.ErrInvalid},
			{"PUT", "/v1/relationships/x/" + user(1), jsonclient.ErrInvalid},
			{"PUT", "/v1/relationships/" + strings.ToUpper(user(1)) + "/" + user(2), jsonclient.ErrInvalid},
			{"GET", pair, jsonclient.ErrNotFound},
			{"POST", pair, jsonclient.ErrResponse},
			{"GET", "/v1/relationships", jsonclient.ErrInvalid},
			{"GET", "/v1/relationships?follower=" + user(1) + "&followee=" + user(1), jsonclient.ErrInvalid},
			{"GET", "/v1/relationships?follower=" + user(1) + "&limit=501", jsonclient.ErrInvalid},
			{"GET", "/v1/relationships?follower=" + user(1) + "&cursor=x", jsonclient.ErrInvalid},
		} {
			if _, err := w.Do(t.Context(), jsonclient.Call{Method: c.method, Path: c.path}); !errors.Is(err, c.want) {
				t.Errorf("%s %s: %v, want %v", c.method, c.path, err, c.want)
			}
		}
	})
}
