package monolith_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// TestOwnerChangesUnderTraffic switches the users from MongoDB to DynamoDB by hand
// while mobile clients change and read their profiles through two monoliths, two
// clients and two instances of the users service. No request fails, every reader
// sees what its user wrote last, and nothing is missing afterwards.
func TestOwnerChangesUnderTraffic(t *testing.T) {
	w := newWorld(t, 2)
	userstest.Tables(t, w.tables)
	done := make(chan struct{})
	var people sync.WaitGroup
	var requests atomic.Int64
	final := make([]account, 8)
	for i := range final {
		people.Go(func() { final[i] = w.mobile(i, done, &requests) })
	}
	awaitRequests(t, &requests, 100)
	w.switchByHand()
	awaitRequests(t, &requests, 100)
	close(done)
	people.Wait()

	for i, a := range final {
		for n := range 2 {
			var got account
			w.ask(n, "GET", "/api/v1/users/"+a.User.ID, a.Token, "").data(t, &got)
			if got.User.Name != a.User.Name {
				t.Errorf("user %d ends as %q by monolith %d, wrote %q", i, got.User.Name, n, a.User.Name)
			}
		}
	}
	for n, i := range w.instances {
		s := i.Member.Stats()
		t.Logf("instance %d: owner %s, epoch %d, %d writes held, the longest %s; %d requests in all",
			n, s.Owner, s.Epoch, s.WritesHeld, s.LongestHold, requests.Load())
		if s.Owner != ownership.DynamoDB || s.Epoch != 2 {
			t.Errorf("instance %d ends with owner %s in epoch %d", n, s.Owner, s.Epoch)
		}
	}
}

// awaitRequests waits until there were n more requests.
func awaitRequests(t *testing.T, requests *atomic.Int64, n int64) {
	t.Helper()
	until := requests.Load() + n
	for deadline := time.Now().Add(time.Minute); requests.Load() < until; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests are missing", until-requests.Load())
		}
	}
}

// mobile is a client that renames its user again and again, and looks.
func (w *world) mobile(i int, done <-chan struct{}, requests *atomic.Int64) account {
	me := w.register(i, "start", fmt.Sprintf("mobile%d@example.org", i))
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for k := 0; ; k++ {
		select {
		case <-done:
			return me
		default:
		}
		requests.Add(3)
		me.User.Name = fmt.Sprintf("name %d of %d", k, i)
		r := w.ask(rng.IntN(2), "PUT", "/api/v1/users/me", me.Token, `{"display_name":"`+me.User.Name+`"}`)
		if r.status != http.StatusOK || r.header.Get("Banyan-Written") == "" {
			w.t.Errorf("rename: %d %s", r.status, r.body)
		}
		var got account
		if r = w.ask(rng.IntN(2), "GET", "/api/v1/users/"+me.User.ID, me.Token, ""); r.status != http.StatusOK {
			w.t.Errorf("read: %d %s", r.status, r.body)
		}
		if r.data(w.t, &got); got.User.Name != me.User.Name {
			w.t.Errorf("a stale read: %q after writing %q", got.User.Name, me.User.Name)
		}
		w.register(rng.IntN(2), "other", fmt.Sprintf("other%d-%d@example.org", i, k))
	}
}

// switchByHand does what the cut-over does, copying instead of following.
func (w *world) switchByHand() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	control := w.instances[0].Control
	update := func(r ownership.Record, change func(*ownership.Record)) ownership.Record {
		r, err := control.Update(ctx, r, change)
		if err == nil {
			err = control.AwaitAck(ctx, "users", r.Revision)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		return r
	}
	r, err := control.Load(ctx, "users")
	if err != nil {
		w.t.Fatal(err)
	}
	r = update(r, func(r *ownership.Record) {
		r.Hold, r.Phase, r.HoldUntil = true, ownership.Switching, time.Now().Add(5*time.Second)
	})
	rename := bson.D{{Key: "renameCollection", Value: "legacy.users"}, {Key: "to", Value: "legacy.users__banyan_g1"}}
	if err := w.db.Client().Database("admin").RunCommand(ctx, rename).Err(); err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // so that reads meet the half-made fence
	if err := w.db.CreateView(ctx, "users", "users__banyan_g1", mongo.Pipeline{}); err != nil {
		w.t.Fatal(err)
	}
	w.copyAll(ctx)
	r = update(r, func(r *ownership.Record) {
		r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched
	})
	update(r, func(r *ownership.Record) { r.Hold = false })
}

func (w *world) copyAll(ctx context.Context) {
	cursor, err := w.db.Collection("users__banyan_g1").Find(ctx, bson.D{})
	if err != nil {
		w.t.Fatal(err)
	}
	var docs []bson.Raw
	if err := cursor.All(ctx, &docs); err != nil {
		w.t.Fatal(err)
	}
	type item = map[string]types.AttributeValue
	str := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	mark := &types.AttributeValueMemberM{Value: item{"t": &types.AttributeValueMemberN{Value: "1"}}}
	put := func(table string, it item) {
		it["_banyan"] = mark
		if _, err := w.tables.PutItem(ctx, &awsdynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, d := range docs {
		id := d.Lookup("_id").ObjectID().Hex()
		put("users", item{
			"id": str(id), "name": str(d.Lookup("name").StringValue()), "email": str(d.Lookup("email").StringValue()),
			"password": str(d.Lookup("password").StringValue()), "version": &types.AttributeValueMemberN{Value: fmt.Sprint(d.Lookup("version").Int64())},
			"createdAt": str(d.Lookup("createdAt").Time().UTC().Format("2006-01-02T15:04:05.000Z")),
		})
		put("users-unique", item{"value": str("email#" + d.Lookup("email").StringValue()), "owner": str(id)})
	}
}
