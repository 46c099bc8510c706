package target

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// ErrNoStream says that the target table has no stream that carries whole items, before and
// after each change.
var ErrNoStream error = retry.Permanent("the target table has no stream with new and old images, which the way back reads; " +
	"`banyan-migrate run` enables it, for which it needs dynamodb:UpdateTable")

// StreamARN is the name of the table's stream. It fails with ErrNoStream.
func (t *Tables) StreamARN(ctx context.Context) (string, error) {
	table, err := t.describeTable(ctx, t.Plan.Target.Table)
	if err != nil {
		return "", err
	}
	if table == nil {
		return "", fmt.Errorf("the table %s does not exist: %w", t.Plan.Target.Table, ErrNoStream)
	}
	if !hasStream(table) {
		return "", fmt.Errorf("read the stream of %s: %w", t.Plan.Target.Table, ErrNoStream)
	}
	return aws.ToString(table.LatestStreamArn), nil
}

// EnsureStream enables the stream of the target table, which the way back reads, unless it
// is, and waits for it. That is for the end of a copy: nobody reads what the copy writes, and
// a stream of all of it takes time and room where it is not free.
func (t *Tables) EnsureStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	name, asked := t.Plan.Target.Table, false
	for attempt := 0; ; attempt++ {
		table, err := t.describeTable(ctx, name)
		switch {
		case err != nil:
			return err
		case table == nil:
			return fmt.Errorf("the table %s is gone: %w", name, ErrReplaced)
		case hasStream(table):
			return nil
		case hasOtherStream(table):
			return otherStream(table)
		case table.TableStatus == types.TableStatusActive && !asked:
			if err := t.enableStream(ctx); err != nil {
				return err
			}
			asked = true
		}
		if err := retry.Wait(ctx, min(attempt, 5)); err != nil {
			return fmt.Errorf("wait for the stream of %s: %w", name, err)
		}
	}
}

func (t *Tables) enableStream(ctx context.Context) error {
	err := retry.Do(ctx, "enable the stream of "+t.Plan.Target.Table, func(ctx context.Context) error {
		_, err := t.Client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &t.Plan.Target.Table,
			StreamSpecification: plan.Stream()})
		return err
	})
	if awserr.Is(err, "ValidationException", "ResourceInUseException") {
		return nil // another process was first: what it did is looked at next
	}
	return err
}

func hasStream(table *types.TableDescription) bool {
	s := table.StreamSpecification
	return s != nil && aws.ToBool(s.StreamEnabled) && s.StreamViewType == types.StreamViewTypeNewAndOldImages
}

func hasOtherStream(table *types.TableDescription) bool {
	s := table.StreamSpecification
	return s != nil && aws.ToBool(s.StreamEnabled) && !hasStream(table)
}

func otherStream(table *types.TableDescription) error {
	return fmt.Errorf("%w: that of %s has %s; make its readers content with NEW_AND_OLD_IMAGES, disable it, and run again",
		ErrNoStream, aws.ToString(table.TableName), table.StreamSpecification.StreamViewType)
}
