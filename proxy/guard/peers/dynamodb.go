// Package peers is how the guards of a fleet know each other's counts: a small item a process
// in a table of DynamoDB, such as the control table.
//
//	g := guard.New(guard.Config{Overrides: overrides, Peers: peers.New(client, table, "")})
//
// A process writes its item only when it counted something, and reads all of them with one
// eventually consistent query. With 100 routes that have a budget and traffic that is 6 KB a
// process, so some 3 million write units a month, and a tenth as many read units for each other
// process. The item of a process that is gone is removed by those that see it unchanged for six
// hours; one that merely had nothing to count writes it again.
package peers

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/proxy/guard"
)

// gone is for how long an item is unchanged when its process is taken to have ended.
const gone = 6 * time.Hour

// API is what [DynamoDB] needs of *dynamodb.Client.
type API interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	dynamodb.QueryAPIClient
}

// DynamoDB implements guard.Peers. It is safe for concurrent use.
type DynamoDB struct {
	Now func() time.Time // the clock; default time.Now

	client API
	table  string
	pk, id string

	mu      sync.Mutex // one exchange at a time
	written string     // what this process last wrote
	seen    map[string]sighting
}

type sighting struct {
	counts string
	since  time.Time
}

// New shares among the proxies called name, by default "default", in a table that exists
// (dynamo.CompositeTable). It sends nothing.
func New(client API, table, name string) *DynamoDB {
	return &DynamoDB{
		client: client, table: table, pk: "proxy#" + cmp.Or(name, "default") + "#counts", id: uuid.NewString(),
		Now: time.Now, seen: map[string]sighting{},
	}
}

// Exchange writes mine and reads the counts of others.
func (d *DynamoDB) Exchange(ctx context.Context, mine guard.Totals) (map[string]guard.Totals, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.write(ctx, mine); err != nil {
		return nil, fmt.Errorf("write the guard's counts to table %q: %w", d.table, err)
	}
	others := map[string]guard.Totals{}
	now, seen := d.Now(), map[string]sighting{}
	pages := dynamodb.NewQueryPaginator(d.client, &dynamodb.QueryInput{
		TableName: &d.table, KeyConditionExpression: aws.String("pk = :pk"),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(d.pk)},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read the guards' counts from table %q: %w", d.table, err)
		}
		for _, item := range page.Items {
			id, counts := dynamo.StringOf(item, dynamo.AttrSK), string(dynamo.BytesOf(item, "counts"))
			if id == d.id {
				continue
			}
			var totals guard.Totals
			if err := json.Unmarshal([]byte(counts), &totals); err != nil {
				return nil, fmt.Errorf("read the counts of guard %s in table %q, and delete it there if it is none: %w", id, d.table, err)
			}
			others[id], seen[id] = totals, sighting{counts, now}
			if before := d.seen[id]; before.counts == counts {
				seen[id] = before
			}
		}
	}
	d.seen = seen
	d.remove(ctx, now)
	return others, nil
}

func (d *DynamoDB) write(ctx context.Context, mine guard.Totals) error {
	counts, err := json.Marshal(mine)
	if err != nil || len(mine) == 0 || string(counts) == d.written {
		return err
	}
	item := dynamo.Key(d.pk, d.id)
	item["counts"] = dynamo.Bytes(counts)
	_, err = d.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &d.table, Item: item})
	if err == nil {
		d.written = string(counts)
	}
	return err
}

// remove tries to; whoever is next tries again.
func (d *DynamoDB) remove(ctx context.Context, now time.Time) {
	for id, s := range d.seen {
		if now.Sub(s.since) < gone {
			continue
		}
		_, _ = d.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: &d.table, Key: dynamo.Key(d.pk, id), ConditionExpression: aws.String("counts = :counts"),
			ExpressionAttributeValues: dynamo.Item{":counts": dynamo.Bytes([]byte(s.counts))},
		})
	}
}
