package written

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/sony/gobreaker/v2"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Bounds of what the table may cost a request.
const (
	tableWait   = 100 * time.Millisecond
	tablePause  = time.Second // without requests, after failures in a row
	tableFaults = 5
	tableKeep   = time.Hour
)

// DynamoDBAPI is what a Table needs of *dynamodb.Client: two actions on one item.
type DynamoDBAPI interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// Table keeps positions in DynamoDB, for all proxies: an item a subject, of which the latest
// position stays, whatever the order in which proxies store theirs. A write costs one write
// unit, a read that follows writes one read unit, each before the answer.
//
// An hour after the write an item means nothing; let DynamoDB delete it by its attribute
// "expires" (time to live).
type Table struct {
	client  DynamoDBAPI
	name    string
	now     func() time.Time
	breaker *gobreaker.CircuitBreaker[dynamo.Item]
	stats   *counters // of the Positions that use it
}

// NewTable uses a table with the keys pk and sk (dynamo.CompositeTable), which need not
// exist: without it, reads do not follow the writes of other proxies. It sends nothing.
func NewTable(client DynamoDBAPI, name string) *Table {
	return &Table{client: client, name: name, now: time.Now, stats: &counters{}, breaker: gobreaker.NewCircuitBreaker[dynamo.Item](gobreaker.Settings{
		Name: name, Timeout: tablePause, ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tableFaults },
	})}
}

// put stores a position, unless a later one is stored.
func (t *Table) put(ctx context.Context, subject string, at events.Position) {
	item := key(subject)
	item["at"], item["expires"] = dynamo.String(at.String()), dynamo.Int(t.now().Add(tableKeep).Unix())
	t.ask(context.WithoutCancel(ctx), func(ctx context.Context) (dynamo.Item, error) { // it was written, whoever went away
		_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: &t.name, Item: item, ConditionExpression: aws.String("attribute_not_exists(#at) OR #at < :at"), // as text, as positions are ordered
			ExpressionAttributeNames:  map[string]string{"#at": "at"},
			ExpressionAttributeValues: dynamo.Item{":at": item["at"]},
		})
		if dynamo.IsConditionFailed(err) {
			err = nil
		}
		return nil, err
	})
}

// get is the position that is stored, the zero one where none is, or it cannot be had.
func (t *Table) get(ctx context.Context, subject string) events.Position {
	item := t.ask(ctx, func(ctx context.Context) (dynamo.Item, error) {
		out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: key(subject), ConsistentRead: aws.Bool(true)})
		if err != nil {
			return nil, err
		}
		return out.Item, nil
	})
	at, err := events.ParsePosition(dynamo.StringOf(item, "at"))
	if expires, err2 := dynamo.IntOf(item, "expires"); err != nil || err2 != nil || expires <= t.now().Unix() {
		return events.Position{}
	}
	return at
}

// ask bounds one request, and counts it where it is not answered.
func (t *Table) ask(ctx context.Context, send func(context.Context) (dynamo.Item, error)) dynamo.Item {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, tableWait)
	defer cancel()
	item, err := t.breaker.Execute(func() (dynamo.Item, error) {
		item, err := send(ctx)
		if caller.Err() != nil {
			return nil, nil // which says nothing about the table
		}
		return item, err
	})
	switch {
	case err == nil:
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		t.stats.skipped.Add(1)
	case ctx.Err() != nil:
		t.stats.slow.Add(1)
	default:
		t.stats.failed.Add(1)
	}
	return item
}

func key(subject string) dynamo.Item { return dynamo.Key("written#"+subject, "position") }
