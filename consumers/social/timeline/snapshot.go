package timeline

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
// serving. What is written meanwhile may be in it or not. Limit is the cap of
// the model, 0 for [DefaultCap].
func Snapshot(ctx context.Context, client Scanner, table string, limit int) (State, error) {
	if limit == 0 {
		limit = DefaultCap
	}
	s := State{}
	in := &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)}
	for {
		out, err := client.Scan(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("timeline: snapshot of %s: %w", table, err)
		}
		for _, item := range out.Items {
			if err := s.take(item); err != nil {
				return nil, fmt.Errorf("timeline: snapshot of %s: %w", table, err)
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			break
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
	for user, t := range s {
		t.Entries = newestFirst(t.Entries, limit)
		s[user] = t
	}
	return s, nil
}

func (s State) take(item once.Attributes) (err error) {
	pk, sk := once.Text(item, "pk"), once.Text(item, "sk")
	if user, ok := strings.CutPrefix(pk, prefixTimeline); ok {
		e, err := decodeEntry(item)
		t := s[user]
		t.Entries = append(t.Entries, e)
		s[user] = t
		return err
	}
	user, ok := strings.CutPrefix(pk, prefixUser)
	if !ok {
		return nil // posts and edges: how the rest came about
	}
	t := s[user]
	switch sk {
	case sortName:
		t.Name = once.Text(item, attrName)
	case sortFloor:
		t.Floor = once.Text(item, attrPost)
	case sortWatermark:
		t.Applied, err = once.Position(item)
	}
	s[user] = t
	return err
}
