package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// The keys of a [CompositeTable].
const (
	AttrPK = "pk"
	AttrSK = "sk"
)

// Key is the key of an item of a [CompositeTable].
func Key(pk, sk string) Item { return Item{AttrPK: String(pk), AttrSK: String(sk)} }

// CompositeTable defines a table with the partition key pk and the sort key sk, both
// texts, paid by request.
func CompositeTable(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(AttrPK), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(AttrSK), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(AttrPK), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(AttrSK), KeyType: types.KeyTypeRange},
		},
	}
}

// TableAPI is what [EnsureTable] needs of *dynamodb.Client.
type TableAPI interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
}

// pollPause is how often a table that is being made is looked at.
const pollPause = 100 * time.Millisecond

// EnsureTable creates the table unless it exists, and waits until it is active, until
// ctx ends. Where it exists only dynamodb:DescribeTable is needed. It does not look
// at what an existing table is like.
func EnsureTable(ctx context.Context, client TableAPI, in *dynamodb.CreateTableInput) error {
	for created := false; ; {
		status, err := tableStatus(ctx, client, *in.TableName)
		switch {
		case err != nil:
			return fmt.Errorf("describe table %q: %w", *in.TableName, err)
		case status == types.TableStatusActive:
			return nil
		case status == "" && !created:
			if _, err := client.CreateTable(ctx, in); err != nil && !isInUse(err) {
				return fmt.Errorf("table %q does not exist, and creating it failed: %w", *in.TableName, err)
			}
			created = true
		}
		if err := backoff.Sleep(ctx, pollPause); err != nil {
			return fmt.Errorf("wait for table %q, which is %s: %w", *in.TableName, status, err)
		}
	}
}

// tableStatus is "" for a table that does not exist.
func tableStatus(ctx context.Context, client TableAPI, name string) (types.TableStatus, error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return out.Table.TableStatus, nil
}

// isInUse tells of a table that another one created at the same time.
func isInUse(err error) bool {
	_, ok := errors.AsType[*types.ResourceInUseException](err)
	return ok
}
