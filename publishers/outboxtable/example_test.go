package outboxtable_test

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// An owner commits a post and the event about it together. Nothing more
// is to do: the function outbox-relay publishes it.
func ExampleItem() {
	publish := func(ctx context.Context, client *dynamodb.Client, p social.PostPublished) error {
		posted, err := events.New(ctx, "/services/posts", p)
		if err != nil {
			return err
		}
		outbox, err := outboxtable.Item("posts-outbox", posted)
		if err != nil {
			return err // too large, for instance: nothing was written
		}
		_, err = client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{
			ClientRequestToken: aws.String(posted.ID), // makes one of two attempts with the same event
			TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{
					TableName: aws.String("posts"),
					Item: map[string]types.AttributeValue{
						"id": &types.AttributeValueMemberS{Value: p.PostID}, "text": &types.AttributeValueMemberS{Value: p.Text},
					},
					ConditionExpression: aws.String("attribute_not_exists(id)"),
				}},
				outbox,
			},
		})
		if outboxtable.Repeated(err, 1) {
			return nil // it was committed before, this very event with it
		}
		return err
	}
	_ = publish
}
