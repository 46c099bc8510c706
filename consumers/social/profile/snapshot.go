package profile

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/once"
)

// Scanner is the part of the DynamoDB client that [Snapshot] uses.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Snapshot reads the whole table into memory: it is for checks, not for
// serving. What is written meanwhile may be in it or not.
func Snapshot(ctx context.Context, client Scanner, table string) (State, error) {
	s := State{}
	in := &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)}
	for {
		out, err := client.Scan(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("profile: snapshot of %s: %w", table, err)
		}
		for _, item := range out.Items {
			if err := s.take(item); err != nil {
				return nil, fmt.Errorf("profile: snapshot of %s: %w", table, err)
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return s, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func (s State) take(item once.Attributes) (err error) {
	user := strings.TrimPrefix(once.Text(item, "pk"), prefixUser)
	u := s[user]
	u.UserID = user
	switch once.Text(item, "sk") {
	case sortProfile:
		u.Profile, err = decodeProfile(user, item)
	case sortWatermark:
		u.Applied, err = once.Position(item)
	}
	s[user] = u
	return err
}
