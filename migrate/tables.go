package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// ensureTables creates what is missing and refuses what has another key.
func (e *Engine) ensureTables(ctx context.Context) error {
	for _, in := range e.Plan.TableInputs() {
		if err := e.ensureTable(ctx, in); err != nil {
			return reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
		}
	}
	return nil
}

func (e *Engine) ensureTable(ctx context.Context, in *dynamodb.CreateTableInput) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		table, err := e.describe(ctx, *in.TableName)
		switch {
		case err != nil:
			return err
		case table == nil:
			if err := e.create(ctx, in); err != nil {
				return err
			}
		case !sameKey(table, in):
			return fmt.Errorf("the table %s has another key than the plan says (%s); remove the table, or correct target.key or the unique table's name in the plan", *in.TableName, *in.KeySchema[0].AttributeName)
		case table.TableStatus == types.TableStatusActive:
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for the table %s: %w", *in.TableName, err)
		}
	}
}

// describe returns nil for a table that does not exist.
func (e *Engine) describe(ctx context.Context, table string) (*types.TableDescription, error) {
	var out *dynamodb.DescribeTableOutput
	err := retry(ctx, "describe the table "+table, func(ctx context.Context) (err error) {
		out, err = e.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		return err
	})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return out.Table, nil
}

func (e *Engine) create(ctx context.Context, in *dynamodb.CreateTableInput) error {
	return retry(ctx, "create the table "+*in.TableName, func(ctx context.Context) error {
		_, err := e.DynamoDB.CreateTable(ctx, in)
		var exists *types.ResourceInUseException
		if errors.As(err, &exists) {
			return nil
		}
		return err
	})
}

func sameKey(table *types.TableDescription, in *dynamodb.CreateTableInput) bool {
	if len(table.KeySchema) != 1 || aws.ToString(table.KeySchema[0].AttributeName) != *in.KeySchema[0].AttributeName {
		return false
	}
	for _, a := range table.AttributeDefinitions {
		if aws.ToString(a.AttributeName) == *in.KeySchema[0].AttributeName {
			return a.AttributeType == in.AttributeDefinitions[0].AttributeType
		}
	}
	return false
}
