package dynamodb_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

// granted is a member that grants what its context says.
type granted struct{}

func (granted) Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return fn(ctx, ctx.Value(granted{}).(ownership.Grant))
}

func (m granted) Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return m.Read(ctx, fn)
}

func (granted) Record() ownership.Record { return ownership.Record{} }

// notes makes a store for each call, as the kit has one wait for another, and uses it: the
// value is a note's text.
type notes func() *entity.Store

func with(ctx context.Context, g ownership.Grant) context.Context {
	return context.WithValue(ctx, granted{}, g)
}

func (n notes) Create(ctx context.Context, g ownership.Grant, id, text string) error {
	doc, err := bson.Marshal(bson.D{{Key: "_id", Value: id}, {Key: "author", Value: "ann"}, {Key: "slug", Value: "slug-" + id}, {Key: "text", Value: text}})
	if err == nil {
		_, err = n().Create(with(ctx, g), doc, entity.Options{})
	}
	return err
}

func (n notes) set(ctx context.Context, g ownership.Grant, id, field, to string) error {
	_, err := n().Update(with(ctx, g), id, func(doc bson.Raw) (bson.Raw, error) {
		var d bson.D
		if err := bson.Unmarshal(doc, &d); err != nil {
			return nil, err
		}
		for i := range d {
			if d[i].Key == field {
				d[i].Value = to
			}
		}
		return bson.Marshal(d)
	}, entity.Options{})
	return err
}

func (n notes) Update(ctx context.Context, g ownership.Grant, id, text string) error {
	return n.set(ctx, g, id, "text", text)
}

func (n notes) Move(ctx context.Context, g ownership.Grant, id string) error {
	return n.set(ctx, g, id, "author", "bob")
}

func (n notes) Get(ctx context.Context, g ownership.Grant, id string) (string, bool, error) {
	doc, err := n().Get(with(ctx, g), id)
	if errors.Is(err, entity.ErrNotFound) {
		return "", false, nil
	}
	text, _ := doc.Lookup("text").StringValueOK()
	return text, err == nil, err
}

func (n notes) Delete(ctx context.Context, g ownership.Grant, id string) error {
	_, err := n().Delete(with(ctx, g), id, entity.Options{})
	return err
}

// TestOwnerContract: a store whose documents move keeps what the migration needs of an owner.
func TestOwnerContract(t *testing.T) {
	p, err := plan.Parse("plan.yaml", []byte(strings.Replace(keyByTemplate, "outbox: {table: notes-outbox}\n", "", 1)))
	if err != nil {
		t.Fatal(err)
	}
	cfg := ownertest.Config{Plan: p, Open: func(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) ownertest.Owner {
		backends := entity.Config{Plan: p, Member: granted{}, MongoDB: mongodb.New(mongoclient.Of(db), p, granted{}), DynamoDB: dynamodb.New(tables, p)}
		return notes(func() *entity.Store {
			store, err := entity.New(backends)
			if err != nil {
				t.Fatal(err)
			}
			return store
		})
	}}
	for _, r := range ownertest.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			if err := r.Check(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}
