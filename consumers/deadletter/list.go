package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ErrCursor is returned for a cursor that is not the Next of a page.
var ErrCursor = errors.New("invalid cursor of a list of dead letters")

// Limits of a page.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// ListOptions select what List returns. The zero value is the first page of
// what was not redriven yet.
type ListOptions struct {
	Cursor string // Page.Next of the page before
	Limit  int    // 1 to 1000; 0: 50
	// Redriven includes dead letters that were redriven.
	Redriven bool
	// Type is the event type of those that are returned; "": any.
	Type string
	// Since and Until are between when the consumer gave up; zero: any time. Until itself
	// is not included.
	Since, Until time.Time
	// Contains is a text that their reason contains.
	Contains string
}

func (o ListOptions) match(l Letter) bool {
	return (o.Redriven || l.RedrivenAt.IsZero()) && (o.Type == "" || o.Type == l.EventType) &&
		!l.At.Before(o.Since) && (o.Until.IsZero() || l.At.Before(o.Until)) && strings.Contains(l.Reason, o.Contains)
}

// Page is a part of a list, in the order of positions. Raw is not read; see
// [Store.Get].
type Page struct {
	Letters []Letter
	Next    string // "" when this is the last page
}

// List lists the dead letters of a consumer.
func (s *Store) List(ctx context.Context, consumer string, o ListOptions) (Page, error) {
	in, limit, err := s.query(consumer, o)
	if err != nil {
		return Page{}, fmt.Errorf("deadletter: list %s: %w", consumer, err)
	}
	var p Page
	for {
		in.Limit = aws.Int32(int32(limit - len(p.Letters))) // before they are filtered
		out, err := s.client.Query(ctx, in)
		if err != nil {
			return Page{}, fmt.Errorf("deadletter: list %s: %w", consumer, err)
		}
		for _, i := range out.Items {
			l, err := decode(i)
			if err != nil {
				return Page{}, fmt.Errorf("deadletter: list %s: %w", consumer, err)
			}
			if o.match(l) {
				p.Letters = append(p.Letters, l)
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return p, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
		if len(p.Letters) >= limit {
			p.Next = dynamo.StringOf(out.LastEvaluatedKey, dynamo.AttrSK)
			return p, nil
		}
	}
}

func (s *Store) query(consumer string, o ListOptions) (*dynamodb.QueryInput, int, error) {
	limit := min(max(cmp.Or(o.Limit, defaultLimit), 1), maxLimit)
	in := &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk"),
		ProjectionExpression:      aws.String(listed),
		ExpressionAttributeNames:  namesIn(listed),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(prefixConsumer + consumer)},
	}
	if !o.Redriven { // those are many; the other filters are ours, since times as texts have no order
		in.FilterExpression = aws.String("attribute_not_exists(#redriven)")
	}
	if o.Cursor != "" {
		id, err := ID{Consumer: consumer}.parseSortKey(o.Cursor)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrCursor, err)
		}
		in.ExclusiveStartKey = id.headKey()
	}
	return in, limit, nil
}
