package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// CreateTable creates a table with the keys that read models have, pk and sk, both
// strings, in the embedded DynamoDB. It refuses to touch a DynamoDB that is the
// user's.
func (s *Sandbox) CreateTable(ctx context.Context, name string) error {
	if !s.embeds(DynamoDB) {
		return fmt.Errorf("create the table %s: AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_DYNAMODB names another server; unset it, or create the table there", name)
	}
	client := dynamodb.NewFromConfig(s.sdk(DynamoDB))
	_, err := client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange}},
	})
	if err != nil {
		return fmt.Errorf("create the table %s: %w", name, err)
	}
	fast := func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second }
	if err := dynamodb.NewTableExistsWaiter(client, fast).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		return fmt.Errorf("wait for the table %s: %w", name, err)
	}
	return nil
}
