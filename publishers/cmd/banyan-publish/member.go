package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// memberFlags make the relay a member of entities that banyan-migrate moves.
type memberFlags struct {
	Entities     []string `help:"Entities, of these collections, that banyan-migrate moves: the relay registers with it." env:"BANYAN_PUBLISH_ENTITIES" placeholder:"ENTITY"`
	ControlTable string   `help:"DynamoDB table with the ownership records of the entities." default:"banyan-control" env:"BANYAN_CONTROL_TABLE"`
}

// members are the registrations of one relay, none where nothing is moved.
type members struct {
	db  *mongoclient.Database // for the probes
	end func() error
	all []*ownership.Member
}

// join registers. So the migration knows whose the relay's commands are, moves a
// collection to no name that the relay may not use, and waits, at a change of owner, until
// all that was admitted before it has ended.
func (f *memberFlags) join(ctx context.Context, database *databaseFlags, name string) (m *members, err error) {
	m = &members{end: func() error { return nil }}
	if len(f.Entities) == 0 {
		return m, nil
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	if m.db, m.end, err = database.open(ctx); err != nil {
		return nil, err
	}
	control := ownership.NewTable(dynamodb.NewFromConfig(sdk), f.ControlTable)
	for _, entity := range f.Entities {
		one, err := ownership.Join(ctx, ownership.MemberConfig{
			Table: control, Entity: entity, Service: "banyan-publish relay " + name, Probe: m.probe, AppName: m.db.AppName(), Relay: true,
		})
		if err != nil {
			return nil, errors.Join(err, m.leave())
		}
		m.all = append(m.all, one)
	}
	return m, nil
}

// admit runs a clean-up under the grants of all entities: for reading, since a change of
// owner waits for the outbox to be empty while it holds writes.
func (m *members) admit(ctx context.Context, write func(context.Context) error) error {
	for _, one := range m.all {
		inner := write
		write = func(ctx context.Context) error {
			return one.Read(ctx, func(ctx context.Context, _ ownership.Grant) error { return inner(ctx) })
		}
	}
	return write(ctx)
}

// probe finds and updates what does not exist.
func (m *members) probe(ctx context.Context, collection string) error {
	nothing := bson.D{{Key: "_id", Value: uuid.NewString()}}
	return m.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		err := db.Collection(collection).FindOne(ctx, nothing).Err()
		if errors.Is(err, mongo.ErrNoDocuments) {
			_, err = db.Collection(collection).UpdateOne(ctx, nothing, bson.D{{Key: "$set", Value: bson.D{{Key: "probed", Value: true}}}})
		}
		switch {
		case mongoerr.HasCode(err, mongoerr.Unauthorized):
			return fmt.Errorf("the relay's user lacks a privilege on %s.%s: grant find and update on it: %w", db.Name(), collection, err)
		case mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView): // under a name that is given back
			return nil
		}
		return err
	})
}

func (m *members) leave() error {
	var errs []error
	for _, one := range m.all {
		errs = append(errs, closeIn(one.Leave))
	}
	return errors.Join(append(errs, m.end())...)
}
