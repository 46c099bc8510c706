package outboxtable

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the table where none is configured.
const DefaultTable = "banyan-outbox"

// TableInput is the definition of the table, paid by request, with a stream of
// keys for [Relay.Handle].
func TableInput(name string) *dynamodb.CreateTableInput {
	in := dynamo.CompositeTable(name)
	in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeKeysOnly}
	return in
}

// TimeToLive lets items expire [Keep] after they were written. It is dangerous: an
// event that was not relayed in that time is lost without a trace. Use it only
// beside an alarm on the number of items.
func TimeToLive(table string) *dynamodb.UpdateTimeToLiveInput {
	return &dynamodb.UpdateTimeToLiveInput{
		TableName:               aws.String(table),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(attrExpires), Enabled: aws.Bool(true)},
	}
}

// Ensure creates the table unless it exists, and waits until it can be used, at most
// a minute. Where it exists, it needs no right but dynamodb:DescribeTable.
func Ensure(ctx context.Context, client dynamo.TableAPI, table string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := dynamo.EnsureTable(ctx, client, TableInput(table)); err != nil {
		return fmt.Errorf("outboxtable: %w", err)
	}
	return nil
}
