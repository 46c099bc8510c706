package entitytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

// contract holds the store to the contract of an owner.
func contract(t *testing.T, cfg Config) {
	ownertest.Run(t, ownertest.Config{Plan: cfg.Plan, MongoDB: cfg.MongoDB, DynamoDB: cfg.DynamoDB, ID: strconv.Itoa,
		Open: func(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) ownertest.Owner {
			return owner{t, cfg, mongodb.New(mongoclient.Of(db), cfg.Plan, under{}), dynamodb.New(tables, cfg.Plan)}
		}})
}

// under admits everything under one grant.
type under ownership.Grant

func (u under) Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return fn(ctx, ownership.Grant(u))
}

func (u under) Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return fn(ctx, ownership.Grant(u))
}

func (u under) Record() ownership.Record {
	return ownership.Record{Owner: u.Owner, Epoch: u.Epoch, Phase: ownership.Switched}
}

// owner is the store as ownertest uses it. The id is the number of a document.
type owner struct {
	t         testing.TB
	cfg       Config
	documents *mongodb.Backend
	items     *dynamodb.Backend
}

func (o owner) under(g ownership.Grant) *entity.Store {
	s, err := entity.New(entity.Config{Plan: o.cfg.Plan, Member: under(g), MongoDB: o.documents, DynamoDB: o.items})
	must(o.t, err)
	return s
}

func (o owner) document(text string) bson.Raw {
	n, err := strconv.Atoi(text)
	must(o.t, err)
	return marshal(o.t, o.cfg.Document(n))
}

// Create implements ownertest.Owner.
func (o owner) Create(ctx context.Context, g ownership.Grant, text, value string) error {
	_, err := o.under(g).Create(ctx, with(o.t, o.document(text), valueField, value), entity.Options{})
	return err
}

// Update implements ownertest.Owner.
func (o owner) Update(ctx context.Context, g ownership.Grant, text, value string) error {
	_, err := o.under(g).Update(ctx, id(o.document(text)), setting(o.t, valueField, value), entity.Options{})
	return err
}

// Get implements ownertest.Owner.
func (o owner) Get(ctx context.Context, g ownership.Grant, text string) (string, bool, error) {
	doc, err := o.under(g).Get(ctx, id(o.document(text)))
	if errors.Is(err, entity.ErrNotFound) {
		return "", false, nil
	}
	return tokenOf(doc), err == nil, err
}

// Delete implements ownertest.Deleter.
func (o owner) Delete(ctx context.Context, g ownership.Grant, text string) error {
	_, err := o.under(g).Delete(ctx, id(o.document(text)), entity.Options{})
	return err
}

// Move implements ownertest.Mover.
func (o owner) Move(ctx context.Context, g ownership.Grant, text string) error {
	_, err := o.under(g).Update(ctx, id(o.document(text)), func(doc bson.Raw) (bson.Raw, error) {
		for _, path := range slices.Concat(o.cfg.Plan.Codec().KeyFields()...) {
			if path == "_id" || strings.Contains(path, ".") {
				continue
			}
			moved, ok := doc.Lookup(path).StringValueOK()
			if !ok {
				return nil, fmt.Errorf("%s is no text", path)
			}
			doc = with(o.t, doc, path, moved+"+")
		}
		return doc, nil
	}, entity.Options{})
	return err
}
