package target

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// ErrReplaced says that a table is not the one that a migration began with, although it has the name.
var ErrReplaced error = retry.Permanent("a target table is not the one that the migration began with")

// Identity tells a table from every other that has, had or will have its name.
type Identity struct {
	Table string `json:"table" dynamodbav:"table"` // its name
	// ID is DynamoDB's TableId, another one whenever a table is created; the time of
	// creation where a server reports none.
	ID      string    `json:"id" dynamodbav:"id"`
	ARN     string    `json:"arn" dynamodbav:"arn"` // names account and region
	Created time.Time `json:"created" dynamodbav:"created"`
}

// String names the table for people.
func (i Identity) String() string {
	return fmt.Sprintf("%s (%s, created %s)", i.ARN, i.ID, i.Created.Format(time.RFC3339))
}

// Identities returns the identities of the plan's tables: the target, and those of its
// unique constraints in their order. It fails with ErrReplaced if one does not exist.
func (t *Tables) Identities(ctx context.Context) ([]Identity, error) {
	var all []Identity
	for _, in := range t.Plan.TableInputs() {
		table, err := t.describeTable(ctx, *in.TableName)
		if err != nil {
			return nil, err
		}
		if table == nil {
			return nil, fmt.Errorf("the table %s does not exist: %w; restore it", *in.TableName, ErrReplaced)
		}
		created := aws.ToTime(table.CreationDateTime).UTC()
		all = append(all, Identity{Table: *in.TableName, ID: cmp.Or(aws.ToString(table.TableId), created.Format(time.RFC3339Nano)),
			ARN: aws.ToString(table.TableArn), Created: created})
	}
	return all, nil
}

// CheckIdentities fails with ErrReplaced unless the plan's tables are those of before: none
// was deleted, or deleted and created again, none is of another account or region, and the
// plan names no other.
func (t *Tables) CheckIdentities(ctx context.Context, before []Identity) error {
	now, err := t.Identities(ctx)
	if err != nil {
		return err
	}
	known := map[string]Identity{}
	for _, i := range before {
		known[i.Table] = i
	}
	for _, i := range now {
		was, ok := known[i.Table]
		switch {
		case !ok:
			return fmt.Errorf("the table %s: %w: it has no table of that name; was the plan changed?", i, ErrReplaced)
		case was.ARN != i.ARN:
			return fmt.Errorf("the table %s: %w, which is %s; check AWS_REGION and the credentials", i, ErrReplaced, was)
		case was.ID != i.ID:
			return fmt.Errorf("the table %s: %w, which was %s: it was deleted and created again", i, ErrReplaced, was)
		}
		delete(known, i.Table)
	}
	for _, was := range known {
		return fmt.Errorf("the table %s: %w: the plan no longer names it", was, ErrReplaced)
	}
	return nil
}
