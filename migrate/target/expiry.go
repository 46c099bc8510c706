package target

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// EnableExpiry lets DynamoDB delete items by the plan's ttl. It may be called again. What
// DynamoDB deletes leaves no tombstone, so nothing may be on its way to the table any more that
// was sent by a migration, see [SignatureLifetime].
func (t *Tables) EnableExpiry(ctx context.Context) error {
	if t.Plan.TTL == nil {
		return nil
	}
	name, attribute := t.Plan.Target.Table, t.Plan.TTL.Attribute
	return retry.Do(ctx, "let items of "+name+" expire", func(ctx context.Context) error {
		out, err := t.Client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
		if err != nil {
			return err
		}
		if by := ExpiresBy(out.TimeToLiveDescription); by != "" {
			if by != attribute {
				return retry.Permanent(fmt.Sprintf("the table %s lets items expire by %s, the plan says %s; switch it off, wait an hour, and run it again",
					name, by, attribute))
			}
			return nil
		}
		_, err = t.Client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: aws.Bool(true)}})
		return err
	})
}

// ExpiresBy is the attribute by which a table lets items expire, "" if it does not.
func ExpiresBy(ttl *types.TimeToLiveDescription) string {
	if ttl == nil || ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabled && ttl.TimeToLiveStatus != types.TimeToLiveStatusEnabling {
		return ""
	}
	return aws.ToString(ttl.AttributeName)
}

// expired reports whether the plan lets DynamoDB delete an item.
func (t *Tables) expired(item codec.Item) bool {
	if t.Plan.TTL == nil {
		return false
	}
	at, err := strconv.ParseInt(keyText(item[t.Plan.TTL.Attribute]), 10, 64)
	return err == nil && at <= time.Now().Unix()
}
