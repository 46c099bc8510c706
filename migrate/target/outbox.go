package target

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Waiting names the first events that wait in a table to be published; none where there is
// no such table.
func (t *Tables) Waiting(ctx context.Context, table string) (waiting []string, err error) {
	out, err := t.Client.Scan(ctx, &dynamodb.ScanInput{
		TableName: &table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#pk, #sk"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK},
	})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for events that wait in %q: %w", table, err)
	}
	for _, item := range out.Items {
		waiting = append(waiting, fmt.Sprintf("%s of %s in the table %s", dynamo.StringOf(item, dynamo.AttrSK), dynamo.StringOf(item, dynamo.AttrPK), table))
	}
	return waiting, nil
}
