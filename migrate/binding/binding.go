// Package binding binds the state of a migration to what it was made for: the plan's
// content, the source collection's UUID, the target tables' ids, and the control table
// itself. Names do not identify these: a plan is edited or copied, a collection replaced,
// a table created again, another region or account configured.
//
// The control table holds the [Binding], and the source's database a claim that names the
// control table, so that a second control table is refused too.
package binding

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
	"github.com/banyan-fig/banyan/migrate/target"
)

// ErrDiffers is wrapped by every error about something that is not what the migration was
// begun with.
var ErrDiffers error = retry.Permanent("is not what the migration was begun with")

// Binder binds one entity's migration. It is safe for concurrent use.
type Binder struct {
	Plan    *plan.Plan
	Source  *mongo.Database
	Control *control.Store
	Target  *target.Tables
	Tables  TablesAPI // for the control table
}

// TablesAPI is what a Binder needs of *dynamodb.Client.
type TablesAPI interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// Check fails with ErrDiffers unless plan, source, tables and control table are those that
// the migration is bound to. It returns the binding, one without UUID for none yet.
func (b *Binder) Check(ctx context.Context) (*control.Binding, error) {
	stored, err := b.CheckSource(ctx)
	if err != nil || stored.UUID == "" {
		return stored, err
	}
	if stored.Digest != b.Plan.Digest() {
		return stored, fmt.Errorf("the plan %w: %s; put the plan back, or begin again with `banyan-migrate run --from-start`", ErrDiffers,
			strings.Join(plan.Differences(stored.Plan, b.Plan.Canonical()), "; "))
	}
	return stored, b.checkTables(ctx, stored)
}

// CheckSource fails with ErrDiffers unless the source's collection and the control table
// are those that the migration is bound to, whatever else of the plan was changed. It
// returns the binding, one without UUID for none yet.
func (b *Binder) CheckSource(ctx context.Context) (*control.Binding, error) {
	if err := b.CheckClaim(ctx); err != nil {
		return nil, err
	}
	stored, err := b.Control.Binding(ctx)
	if err != nil || stored.UUID == "" {
		return stored, err
	}
	if stored.Database != b.Source.Name() || stored.Collection != b.collection() {
		return stored, fmt.Errorf("the source %w: %s.%s, now %s.%s; correct source.collection and source.database of the plan, or MONGODB_URI", ErrDiffers,
			stored.Database, stored.Collection, b.Source.Name(), b.collection())
	}
	return stored, nil
}

func (b *Binder) checkTables(ctx context.Context, stored *control.Binding) error {
	if len(stored.Tables) == 0 {
		return nil
	}
	var before []target.Identity
	for _, t := range stored.Tables {
		before = append(before, target.Identity(t))
	}
	if err := b.Target.CheckIdentities(ctx, before); err != nil {
		return fmt.Errorf("%w; begin again with `banyan-migrate run --from-start` if it is to be so", err)
	}
	return nil
}

// identify returns a table's ARN and id, both "" for one that does not exist.
func (b *Binder) identify(ctx context.Context, table string) (arn, id string, err error) {
	err = retry.Do(ctx, "describe the table "+table, func(ctx context.Context) error {
		out, err := b.Tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		if err == nil {
			arn, id = aws.ToString(out.Table.TableArn), aws.ToString(out.Table.TableId)
		}
		return err
	})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "", "", nil
	}
	return arn, id, err
}

// claim is the document in the source's database.
type claim struct {
	Collection string    `bson:"_id"`
	Entity     string    `bson:"entity"`
	Table      string    `bson:"controlTable"`
	TableID    string    `bson:"controlTableId"`
	At         time.Time `bson:"claimedAt"`
}

// claim reads the claim of the collection, a zero one for none.
func (b *Binder) claim(ctx context.Context) (held claim, err error) {
	err = retry.Do(ctx, "read the claim of "+b.collection(), func(ctx context.Context) error {
		held = claim{}
		err := b.Source.Collection(source.Claims).FindOne(ctx, bson.D{{Key: "_id", Value: b.collection()}}).Decode(&held)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return nil
		}
		return err
	})
	return held, err
}

// CheckClaim fails with ErrDiffers where another control table, or another entity, has
// claimed the collection.
func (b *Binder) CheckClaim(ctx context.Context) error {
	held, err := b.claim(ctx)
	if err != nil || held.Collection == "" {
		return err
	}
	arn, id, err := b.identify(ctx, b.Control.Table())
	switch {
	case err != nil:
		return err
	case held.Table != arn || held.TableID != id:
		return fmt.Errorf("the control table %w: %s.%s is migrated with %s (id %s) since %s, and this is %s (id %s); correct AWS_REGION, "+
			"the account or --control; if that table is lost for good, remove the document %q of %s in MongoDB", ErrDiffers, b.Source.Name(),
			held.Collection, held.Table, held.TableID, held.At.Format(time.RFC3339), cmp.Or(arn, b.Control.Table()+", which does not exist"),
			id, held.Collection, source.Claims)
	case held.Entity != b.Plan.Entity:
		return fmt.Errorf("the entity %w: %s.%s is migrated as entity %q, and the plan says %q; correct entity in the plan", ErrDiffers,
			b.Source.Name(), held.Collection, held.Entity, b.Plan.Entity)
	}
	return nil
}

func (b *Binder) collection() string { return b.Plan.Source.Collection }

// Claim claims the collection for this control table and entity. It does nothing where the
// claim stands, and fails with ErrDiffers where another one does.
func (b *Binder) Claim(ctx context.Context) error {
	arn, id, err := b.identify(ctx, b.Control.Table())
	if err != nil {
		return err
	}
	mine := claim{Collection: b.collection(), Entity: b.Plan.Entity, Table: arn, TableID: id, At: time.Now().UTC()}
	err = retry.Do(ctx, "claim "+b.collection(), func(ctx context.Context) error {
		_, err := b.Source.Collection(source.Claims).InsertOne(ctx, mine)
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.CheckClaim(ctx)
}

// Bind binds the migration to the present plan and to a collection's UUID, in the place of
// what it was bound to before.
func (b *Binder) Bind(ctx context.Context, uuid string) error {
	if err := b.Claim(ctx); err != nil {
		return err
	}
	return b.Control.UpdateBinding(ctx, func(stored *control.Binding) bool {
		*stored = control.Binding{Row: stored.Row, Plan: b.Plan.Canonical(), Digest: b.Plan.Digest(), Database: b.Source.Name(),
			Collection: b.collection(), UUID: uuid, BoundAt: time.Now().UTC()}
		return true
	})
}

// BindTables binds the migration to the target's tables as they are now, unless it is
// bound to tables already.
func (b *Binder) BindTables(ctx context.Context, now []target.Identity) error {
	return b.Control.UpdateBinding(ctx, func(stored *control.Binding) bool {
		if stored.UUID == "" || len(stored.Tables) > 0 {
			return false
		}
		for _, t := range now {
			stored.Tables = append(stored.Tables, control.TableIdentity(t))
		}
		return true
	})
}

// Release reads the claim, which must not be another's, and returns what removes it. A late
// removal hits no claim that was made since.
func (b *Binder) Release(ctx context.Context) (remove func(context.Context) error, err error) {
	if err := b.CheckClaim(ctx); err != nil {
		return nil, err
	}
	held, err := b.claim(ctx)
	return func(ctx context.Context) error {
		if held.Collection == "" {
			return nil
		}
		return retry.Do(ctx, "remove the claim of "+b.collection(), func(ctx context.Context) error {
			_, err := b.Source.Collection(source.Claims).DeleteOne(ctx, bson.D{{Key: "_id", Value: held.Collection},
				{Key: "controlTableId", Value: held.TableID}, {Key: "claimedAt", Value: held.At}})
			return err
		})
	}, err
}
