package recommend

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Scanner is the part of the DynamoDB client that [Export] uses.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// pageUnits is what a page of a scan costs at most: 1 MB, eventually consistent.
const pageUnits = 128

// Export reads the graph from a table for a batch engine: node is called with each user who
// has not left, twice with one who is at both ends of connections, and edge with each
// connection of such a user. It may lead to a user who left. It reads at most unitsPerSecond
// read units a second, of what the whole table has, and holds one page. What changes meanwhile
// is among it or not.
//
// It ends with the first error of node or edge.
func Export(ctx context.Context, client Scanner, table string, unitsPerSecond int, node func(id string) error, edge func(from, to string) error) error {
	limit := rate.NewLimiter(rate.Limit(unitsPerSecond), max(pageUnits, unitsPerSecond))
	s := exporter{node: node, edge: edge}
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{
		TableName: &table, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		FilterExpression:         aws.String("begins_with(#pk, :out) OR begins_with(#pk, :in)"),
		ProjectionExpression:     aws.String("#pk, #sk, #present"),
		ExpressionAttributeNames: map[string]string{"#pk": dynamo.AttrPK, "#sk": dynamo.AttrSK, "#present": attrPresent},
		ExpressionAttributeValues: dynamo.Item{
			":out": dynamo.String(prefixOut), ":in": dynamo.String(prefixIn),
		},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("recommend: export %s: %w", table, err)
		}
		for _, item := range page.Items {
			if err := s.add(item); err != nil {
				return fmt.Errorf("recommend: export %s: %w", table, err)
			}
		}
		units := pageUnits
		if c := page.ConsumedCapacity; c != nil && c.CapacityUnits != nil {
			units = int(math.Ceil(*c.CapacityUnits))
		}
		if err := limit.WaitN(ctx, min(units, limit.Burst())); err != nil {
			return fmt.Errorf("recommend: export %s: %w", table, err)
		}
	}
	return nil
}

// exporter knows the partition that it is in: a scan gives the items of one together, by
// their sort keys, so that sortLeft comes first.
type exporter struct {
	node      func(string) error
	edge      func(from, to string) error
	partition string
	left      bool
	isNamed   bool // the node was given
}

func (x *exporter) add(item dynamo.Item) error {
	pk, sk := dynamo.StringOf(item, dynamo.AttrPK), dynamo.StringOf(item, dynamo.AttrSK)
	if pk != x.partition {
		x.partition, x.left, x.isNamed = pk, false, false
	}
	x.left = x.left || sk == sortLeft
	user, isOut := strings.CutPrefix(pk, prefixOut)
	if x.left || isOut && !dynamo.BoolOf(item, attrPresent) {
		return nil
	}
	if !x.isNamed {
		x.isNamed = true
		if !isOut {
			user = strings.TrimPrefix(pk, prefixIn)
		}
		if err := x.node(user); err != nil {
			return err
		}
	}
	if !isOut {
		return nil
	}
	return x.edge(user, sk[hashSize:])
}
