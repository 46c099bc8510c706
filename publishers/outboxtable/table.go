package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// DefaultTable is the name of the table where none is configured.
const DefaultTable = "banyan-outbox"

// TableInput is the definition of the table, paid by request, with a stream of
// keys for [Relay.Handle].
func TableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrPK), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrSK), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrPK), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrSK), KeyType: types.KeyTypeRange},
		},
		StreamSpecification: &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly,
		},
	}
}

// TimeToLive lets items go [Keep] after they were written. It is dangerous: an
// event that was not relayed in that time is lost without a trace. Use it only
// beside an alarm on the number of items.
func TimeToLive(table string) *dynamodb.UpdateTimeToLiveInput {
	return &dynamodb.UpdateTimeToLiveInput{
		TableName:               aws.String(table),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrExpires), Enabled: aws.Bool(true)},
	}
}

// TableAPI is what [Ensure] needs of *dynamodb.Client.
type TableAPI interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	CreateTable(context.Context, *dynamodb.CreateTableInput, ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
}

// Ensure makes the table unless it is there, and waits until it can be used, at
// most a minute. Where the table was made before, it needs no right but to
// describe it.
func Ensure(ctx context.Context, client TableAPI, table string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	there, err := active(ctx, client, table)
	if err != nil {
		return fmt.Errorf("outboxtable: look for table %q: %w", table, err)
	}
	if there {
		return nil
	}
	_, err = client.CreateTable(ctx, TableInput(table))
	var byAnother *types.ResourceInUseException
	if err != nil && !errors.As(err, &byAnother) {
		return fmt.Errorf("outboxtable: there is no table %q and it could not be made (key pk and sk, both texts; a stream of KEYS_ONLY): %w", table, err)
	}
	for {
		if there, err = active(ctx, client, table); err != nil || there {
			return err
		}
		if !pause(ctx, 100*time.Millisecond) {
			return fmt.Errorf("outboxtable: wait for table %q: %w", table, ctx.Err())
		}
	}
}

func active(ctx context.Context, client TableAPI, table string) (bool, error) {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return false, nil
	}
	return err == nil && out.Table.TableStatus == types.TableStatusActive, err
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
