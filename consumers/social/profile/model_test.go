package profile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/socialtest"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newModel(t *testing.T, cfg profile.Config) *profile.Model {
	t.Helper()
	m, err := profile.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func expect(t *testing.T, client *dynamodb.Client, table string, want socialtest.Profiles) {
	t.Helper()
	got, err := socialtest.SnapshotProfiles(t.Context(), client, table)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range socialtest.DiffProfiles(want, got) {
		t.Error(d)
	}
}

const (
	ada = "ada"
	bob = "bob"
)

func followed(follower, author string) events.Payload {
	return social.RelationshipFollowed{FollowerID: follower, FolloweeID: author, At: streamtest.Start}
}

func unfollowed(follower, author string) events.Payload {
	return social.RelationshipUnfollowed{FollowerID: follower, FolloweeID: author, At: streamtest.Start}
}

func updated(version int64, name string) events.Payload {
	return social.UserProfileUpdated{UserID: ada, Name: name, Bio: "b" + name, Version: version}
}

func post(id string) events.Payload {
	return social.PostPublished{PostID: id, AuthorID: ada, Text: "text", PublishedAt: streamtest.Start}
}

func deleted(id string) events.Payload {
	return social.PostDeleted{PostID: id, AuthorID: ada, At: streamtest.Start}
}

func left(user string) events.Payload { return social.UserLeft{UserID: user, At: streamtest.Start} }

// TestOutOfOrder applies events in an order that redriven dead letters and two
// instances of a service can bring about; the number is the position.
func TestOutOfOrder(t *testing.T) {
	type at struct {
		n int
		p events.Payload
	}
	joined := social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: streamtest.Start}
	for name, delivered := range map[string][]at{
		"a follow published twice, then an older unfollow": {{1, followed(bob, ada)}, {3, followed(bob, ada)}, {2, unfollowed(bob, ada)}},
		"an unfollow before the follow it ends":            {{2, unfollowed(bob, ada)}, {1, followed(bob, ada)}},
		"an unfollow published twice, then an older follow": {
			{1, followed(bob, ada)}, {2, unfollowed(bob, ada)}, {4, unfollowed(bob, ada)}, {3, followed(bob, ada)},
		},
		"an unfollow of nobody, twice":              {{1, unfollowed(bob, ada)}, {1, unfollowed(bob, ada)}},
		"following oneself":                         {{1, followed(ada, ada)}, {2, unfollowed(ada, ada)}, {3, followed(ada, ada)}},
		"an update before the user joined":          {{2, updated(1, "A.")}, {1, joined}},
		"followers before the user joined":          {{1, followed(bob, ada)}, {2, joined}},
		"versions on the stream in another order":   {{1, joined}, {2, updated(3, "3")}, {3, updated(2, "2")}},
		"a deletion before its post":                {{1, post("1")}, {4, deleted("2")}, {2, post("2")}, {3, post("3")}},
		"a post published again after its deletion": {{1, post("1")}, {2, post("2")}, {3, deleted("2")}, {4, post("2")}},
		"a deletion published twice":                {{1, post("1")}, {2, post("2")}, {3, deleted("2")}, {4, deleted("2")}, {3, deleted("2")}},
		"the deletion of a post that never was":     {{1, deleted("2")}, {2, deleted("2")}},
		"whoever left follows nobody":               {{1, followed(ada, bob)}, {2, followed(ada, "eve")}, {3, unfollowed(ada, "eve")}, {4, left(ada)}},
		"whoever left is followed":                  {{1, followed(bob, ada)}, {2, left(ada)}, {3, followed("eve", ada)}, {4, unfollowed(bob, ada)}},
		"a follow after its follower left": {
			{1, followed(ada, bob)}, {3, left(ada)}, {2, followed(ada, "eve")}, {4, followed(ada, bob)}, {5, unfollowed(ada, bob)},
		},
		"everything after the user left":          {{9, left(ada)}, {1, joined}, {2, post("1")}, {3, updated(2, "A.")}, {4, followed(ada, bob)}, {5, deleted("1")}},
		"a user who joined again, and left again": {{1, joined}, {2, left(ada)}, {3, joined}, {4, updated(2, "A.")}, {5, left(ada)}},
		"the same version twice":                  {{1, joined}, {2, updated(2, "first")}, {3, updated(2, "second")}, {2, updated(2, "first")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := streamtest.NewDynamoDB(t)
			table := db.CreateTable(profile.TableInput)
			m, fold := newModel(t, profile.Config{Client: db.Client(nil), Table: table}), socialtest.NewFold()
			for _, a := range delivered {
				msg := streamtest.Message(t, a.n, a.p)
				if err := fold.Apply(msg); err != nil {
					t.Fatal(err)
				}
				if err := m.Handle(t.Context(), msg); err != nil && !errors.Is(err, consumers.ErrStale) {
					t.Fatal(err)
				}
			}
			expect(t, db.Client(nil), table, fold.Profiles())
		})
	}
}

// TestOvertaken holds a handler up in its midst and lets another pass it, as a function
// that was frozen can.
func TestOvertaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []events.Payload
		held   events.Payload
		gate   *streamtest.Gate
		passes events.Payload
	}{
		{
			name: "a deletion by its post", held: deleted("p"), passes: post("p"),
			gate: streamtest.NewGate("TransactWriteItems", `"attribute_not_exists(#pk)"`),
		},
		{
			name: "a post by its deletion", held: post("p"), passes: deleted("p"),
			gate: streamtest.NewGate("TransactWriteItems", `"post#p"`),
		},
		{
			name: "a follow by the leaving", held: followed(ada, bob), passes: left(ada),
			gate: streamtest.NewGate("TransactWriteItems", `"edge#bob"`),
		},
		{
			name: "the leaving by a follow", held: left(ada), passes: followed(ada, bob),
			gate: streamtest.NewGate("Query", `edge#`),
		},
		{
			name: "the leaving by an unfollow", held: left(ada), passes: unfollowed(ada, bob),
			before: []events.Payload{followed(ada, bob)},
			gate:   streamtest.NewGate("TransactWriteItems", `"edge#bob"`),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, fold := streamtest.NewDynamoDB(t), socialtest.NewFold()
			table := db.CreateTable(profile.TableInput)
			faults := streamtest.NewFaults(0, 0)
			faults.Before = c.gate.Before
			slow, fast := newModel(t, profile.Config{Client: db.Client(faults), Table: table}), newModel(t, profile.Config{Client: db.Client(nil), Table: table})
			n := 0
			handle := func(m *profile.Model, p events.Payload) error {
				n++
				msg := streamtest.Message(t, n, p)
				if err := fold.Apply(msg); err != nil {
					return err
				}
				if err := m.Handle(t.Context(), msg); !errors.Is(err, consumers.ErrStale) {
					return err
				}
				return nil
			}
			for _, p := range c.before {
				if err := handle(fast, p); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan error, 1)
			go func() { done <- handle(slow, c.held) }()
			c.gate.Wait(t)
			err := handle(fast, c.passes)
			c.gate.Open()
			if err := errors.Join(err, <-done); err != nil {
				t.Fatal(err)
			}
			expect(t, db.Client(nil), table, fold.Profiles())
		})
	}
}

// TestLeavingGoesOn: cut short before the follows are ended, the next delivery ends them;
// and a name that comes late is not kept.
func TestLeavingGoesOn(t *testing.T) {
	db, fold := streamtest.NewDynamoDB(t), socialtest.NewFold()
	table := db.CreateTable(profile.TableInput)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	faults := streamtest.NewFaults(0, 0)
	faults.Before = func(operation, _ string) {
		if operation == "Query" {
			cancel()
		}
	}
	m := newModel(t, profile.Config{Client: db.Client(faults), Table: table})
	for i, c := range []struct {
		ctx  context.Context
		n    int
		p    events.Payload
		want func(error) bool
	}{
		{t.Context(), 1, followed(ada, bob), func(err error) bool { return err == nil }},
		{ctx, 2, left(ada), consumers.IsUnavailable},
		{t.Context(), 2, left(ada), func(err error) bool { return errors.Is(err, consumers.ErrStale) }},
		{t.Context(), 1, updated(7, "Ada"), func(err error) bool { return errors.Is(err, consumers.ErrStale) }},
	} {
		msg := streamtest.Message(t, c.n, c.p)
		if err := fold.Apply(msg); err != nil {
			t.Fatal(err)
		}
		if err := m.Handle(c.ctx, msg); !c.want(err) {
			t.Fatalf("delivery %d: %v", i+1, err)
		}
	}
	out, err := db.Client(nil).GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: dynamo.Key("user#"+ada, "profile")})
	if _, ok := out.Item["name"]; ok || err != nil || len(out.Item) == 0 {
		t.Errorf("the profile of who has left: %v, %v", out.Item, err)
	}
	expect(t, db.Client(nil), table, fold.Profiles())
}

// TestManyFollowOneAtOnce: the counter of a popular account is one item.
func TestManyFollowOneAtOnce(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(profile.TableInput)
	faults := streamtest.NewFaults(1, 10)
	m := newModel(t, profile.Config{Client: db.Client(faults), Table: table})
	var g errgroup.Group
	const fans = 200
	for i := range fans {
		g.Go(func() error {
			return m.Handle(t.Context(), streamtest.Message(t, i+1, followed(fmt.Sprint("fan", i), ada)))
		})
	}
	if err := g.Wait(); err != nil && !errors.Is(err, consumers.ErrStale) {
		t.Fatal(err)
	}
	all, err := socialtest.SnapshotProfiles(t.Context(), db.Client(nil), table)
	if err != nil || all[ada].Followers != fans {
		t.Errorf("%d followers, want %d (%v)", all[ada].Followers, fans, err)
	}
	if faults.Sent() > fans {
		t.Errorf("%d requests for %d events: additions were not put together", faults.Sent(), fans)
	}
}

func TestProfile(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	table := db.CreateTable(profile.TableInput)
	m := newModel(t, profile.Config{Client: db.Client(nil), Table: table})
	joined := streamtest.Start.Add(time.Nanosecond)
	for i, p := range []events.Payload{
		social.UserJoined{UserID: ada, Name: "Ada", JoinedAt: joined},
		updated(1, "Ada L."), followed(ada, bob), social.PostPublished{PostID: "p", AuthorID: ada, PublishedAt: joined},
	} {
		if err := m.Handle(t.Context(), streamtest.Message(t, i+1, p)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := socialtest.SnapshotProfiles(t.Context(), db.Client(nil), table)
	want := profile.Profile{UserID: ada, Name: "Ada L.", Bio: "bAda L.", Joined: joined, Following: 1, Posts: 1}
	if got := all[ada]; err != nil || got.Profile != want || got.Applied.Sequence != streamtest.Sequence(4) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEventsThatCannotBeApplied(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	m := newModel(t, profile.Config{Client: db.Client(nil), Table: db.CreateTable(profile.TableInput)})
	for name, change := range map[string]func(*events.Event){
		"a version of the future": func(e *events.Event) { e.Version = 9 },
		"no payload for its type": func(e *events.Event) { e.Data = json.RawMessage(`[1]`) },
		"no followee":             func(e *events.Event) { e.Data = json.RawMessage(`{"followerId":"ada"}`) },
	} {
		msg := streamtest.Message(t, 1, followed(ada, bob))
		change(&msg.Event)
		if err := m.Handle(t.Context(), msg); !consumers.IsPermanent(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
