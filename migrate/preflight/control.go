package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// askRecord reads who owns the entity by the control table.
func (w *world) askRecord(ctx context.Context) ([]Finding, error) {
	var err error
	w.record, err = w.owners.Load(ctx, w.Plan.Entity)
	if errors.Is(err, ownership.ErrNoTable) {
		w.record = ownership.Record{Owner: ownership.MongoDB, Phase: ownership.Legacy, Epoch: 1}
		return []Finding{told("control-table", fmt.Sprintf("the control table %s does not exist", w.ControlTable), "",
			"create it: banyan-migrate init")}, nil
	}
	if err != nil {
		return nil, err
	}
	if w.record.Phase == ownership.Legacy {
		return nil, nil
	}
	return []Finding{told("phase", fmt.Sprintf("the entity is %s, and belongs to %s in epoch %d", w.record.Phase, w.record.Owner,
		w.record.Epoch), "", "")}, nil
}

// askMembers lists the instances of the owning service.
func (w *world) askMembers(ctx context.Context) ([]Finding, error) {
	members, err := w.owners.Members(ctx, w.Plan.Entity)
	if errors.Is(err, ownership.ErrNoTable) {
		return nil, nil // askRecord said so
	}
	if err != nil {
		return nil, err
	}
	if !ownership.HasOwner(members) {
		return []Finding{told("members", "no instance of the owning service is registered",
			"nothing would follow a switch, so that it must be asked for by a flag",
			"start the service with this control table, and this entity's name")}, nil
	}
	var names []string
	for _, m := range members[:min(len(members), 10)] {
		names = append(names, m.Service+" "+m.ID)
	}
	return []Finding{told("members", fmt.Sprintf("%d instances are registered: %s", len(members), strings.Join(names, ", ")), "", "")}, nil
}

// claim says which control table's migration has the collection.
type claim struct {
	Entity    string
	Table     string        `bson:"controlTable"` // its ARN
	TableID   string        `bson:"controlTableId"`
	ClaimedAt bson.RawValue `bson:"claimedAt"`
}

// askClaim looks for the claim of another control table, which may be in another region
// or account.
func (w *world) askClaim(ctx context.Context) ([]Finding, error) {
	var held claim
	err := w.db.Collection(source.Claims).FindOne(ctx, bson.D{{Key: "_id", Value: w.Plan.Source.Collection}}).Decode(&held)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	own, err := w.describeTable(ctx, w.ControlTable)
	if err != nil {
		return nil, err
	}
	if own == nil {
		own = &types.TableDescription{}
	}
	if held.TableID == aws.ToString(own.TableId) && held.Table == aws.ToString(own.TableArn) && held.Entity == w.Plan.Entity {
		return []Finding{told("claim", "the collection is claimed by this migration", "", "")}, nil
	}
	return []Finding{stops("claim", fmt.Sprintf("%s is claimed by the entity %s of the control table %s (id %s)",
		w.namespace(w.Plan.Source.Collection),
		held.Entity, held.Table, held.TableID), fmt.Sprintf("the control table here is %s (id %s): two migrations would take each other's fence away",
		cmp.Or(aws.ToString(own.TableArn), w.ControlTable+", which does not exist"), aws.ToString(own.TableId)),
		"check AWS_REGION, the account and BANYAN_CONTROL_TABLE; or finish or abandon the other migration")}, nil
}
