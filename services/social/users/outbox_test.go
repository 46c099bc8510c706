package users_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/services/entity/backbone"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// refusing is a publisher that can be out of order.
type refusing struct {
	backbone.Publisher
	refuse atomic.Bool
}

func (p *refusing) Publish(ctx context.Context, e events.Event) (events.Position, error) {
	if p.refuse.Load() {
		return events.Position{}, errors.New("out of order")
	}
	return p.Publisher.Publish(ctx, e)
}

func (p *refusing) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	if p.refuse.Load() {
		return nil, errors.New("out of order")
	}
	return p.Publisher.EnqueueEncoded(ctx, key, data)
}

// TestWhatWasNotPublishedComesFirst: whoever owns the users, the events of a write whose
// publishing failed are on the stream before those of the next one, once, and are removed.
func TestWhatWasNotPublishedComesFirst(t *testing.T) {
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			t.Parallel()
			tables, stream := userstest.Dynamo(t), userstest.NewStream(t)
			if owner == ownership.DynamoDB {
				userstest.Tables(t, tables)
				own(t, ownership.NewTable(tables, ""))
			}
			transport := &http.Transport{}
			t.Cleanup(transport.CloseIdleConnections)
			publisher := &refusing{Publisher: stream.Publisher}
			db := userstest.Mongo(t)
			a := &api{t, userstest.NewInstance(t, db, tables, publisher), &http.Client{Transport: transport}, stream, db}
			publisher.refuse.Store(true)
			if res, body := a.do(request{method: "PUT", path: "/v1/users/" + ned, body: nedBody}); res.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("create without a stream: %d %s", res.StatusCode, body)
			}
			publisher.refuse.Store(false)
			res, body := a.do(request{method: "PATCH", path: "/v1/users/" + ned, body: `{"bio":"second"}`})
			if res.StatusCode != http.StatusOK || res.Header.Get(events.HeaderWritten) == "" {
				t.Errorf("change: %d %s", res.StatusCode, body)
			}
			var told []string
			for _, e := range stream.Events() {
				told = append(told, e.Type)
			}
			if fmt.Sprint(told) != "[user.joined user.profile-updated]" {
				t.Errorf("on the stream: %v", told)
			}
			a.mustKeepNothing(tables)
		})
	}
}

// mustKeepNothing waits until neither store has events that wait.
func (a *api) mustKeepNothing(tables *awsdynamodb.Client) {
	a.t.Helper()
	eventually.True(a.t, "both outboxes to empty", func() bool {
		out, err := tables.Scan(a.t.Context(), &awsdynamodb.ScanInput{TableName: aws.String("users-outbox"), ConsistentRead: aws.Bool(true)})
		if err != nil {
			a.t.Fatal(err)
		}
		there := bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "_outbox", Value: bson.D{{Key: "$exists", Value: true}}}},
			bson.D{{Key: "_outbox_cleared", Value: bson.D{{Key: "$exists", Value: true}}}}}}}
		n, err := a.db.Collection("users").CountDocuments(a.t.Context(), there)
		if err != nil {
			a.t.Fatal(err)
		}
		return len(out.Items) == 0 && n == 0
	})
}

// gated is a publisher that waits before it publishes.
type gated struct {
	backbone.Publisher
	open chan struct{}
}

func (p *gated) EnqueueEncoded(ctx context.Context, key string, data []byte) (publishers.Receipt, error) {
	select {
	case <-p.open:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return p.Publisher.EnqueueEncoded(ctx, key, data)
}

// TestPublishedBehindAFence: the event of a write that was on its way when writes were held and
// the collection got another name is published, with its position told, and removed there, as
// the migration waits for it.
func TestPublishedBehindAFence(t *testing.T) {
	t.Parallel()
	tables, stream, db := userstest.Dynamo(t), userstest.NewStream(t), userstest.Mongo(t)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	publisher := &gated{stream.Publisher, make(chan struct{})}
	a := &api{t, userstest.NewInstance(t, db, tables, publisher), &http.Client{Transport: transport}, stream, db}
	answered := make(chan string)
	go func() {
		res, body := a.do(request{method: "PUT", path: "/v1/users/" + ned, body: nedBody})
		answered <- fmt.Sprint(res.StatusCode, res.Header.Get(events.HeaderWritten) != "", body)
	}()
	waiting := func(collection string) int64 {
		n, err := db.Collection(collection).CountDocuments(t.Context(), bson.D{{Key: "_outbox", Value: bson.D{{Key: "$exists", Value: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually.True(t, "the write", func() bool { return waiting("users") == 1 })
	a.change(func(r *ownership.Record) {
		r.Generation, r.Move, r.CollectionUUID = 1, &ownership.Move{From: "users", To: "users__banyan_g1"}, uuidOf(t, db, "users")
	})
	a.change(func(r *ownership.Record) { r.Hold = true })
	rename := bson.D{{Key: "renameCollection", Value: db.Name() + ".users"}, {Key: "to", Value: db.Name() + ".users__banyan_g1"}}
	if err := db.Client().Database("admin").RunCommand(t.Context(), rename).Err(); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateView(t.Context(), "users", "users__banyan_g1", bson.A{}); err != nil {
		t.Fatal(err)
	}
	close(publisher.open)
	if got := <-answered; !strings.HasPrefix(got, "201 true") {
		t.Errorf("the write is answered with %s", got)
	}
	eventually.True(t, "the end of the event", func() bool { return waiting("users__banyan_g1") == 0 })
	a.change(func(r *ownership.Record) { r.Collection, r.Move, r.Hold = "users__banyan_g1", nil, false })
	if res, body := a.do(request{method: "PATCH", path: "/v1/users/" + ned, body: `{"bio":"second"}`}); res.StatusCode != http.StatusOK {
		t.Errorf("the next write: %d %s", res.StatusCode, body)
	}
	if all := stream.Events(); len(all) != 2 || all[0].Type != "user.joined" {
		t.Errorf("on the stream: %+v", all)
	}
}

// change changes the ownership record, and waits until the instance has acknowledged it.
func (a *api) change(what func(*ownership.Record)) {
	a.t.Helper()
	rec, err := a.at.Control.Load(a.t.Context(), "users")
	if err == nil {
		rec, err = a.at.Control.Update(a.t.Context(), rec, what)
	}
	if err == nil {
		err = a.at.Control.AwaitAck(a.t.Context(), "users", rec.Revision)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func uuidOf(t *testing.T, db *mongo.Database, collection string) string {
	t.Helper()
	specs, err := db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: collection}})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", specs[0].UUID.Data)
}
