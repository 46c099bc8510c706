package recommend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// List is whom a user may want to connect with, the best first.
type List struct {
	Suggestions []Suggestion
	// At is when it was derived; zero where it never was.
	At time.Time
}

// Get reads the list of a user, by one read that is eventually consistent. It is empty for a
// user without connections.
func (m *Model) Get(ctx context.Context, user string) (List, error) {
	list, _, err := m.readList(ctx, user, false)
	return list, err
}

// readList returns the revision of the list as well, 0 for one that was never derived.
func (m *Model) readList(ctx context.Context, user string, consistent bool) (list List, rev int64, err error) {
	out, err := m.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &m.cfg.Table, Key: listKey(user).Item(), ConsistentRead: &consistent,
	})
	if err == nil && len(out.Item) > 0 {
		list, rev, err = parseList(out.Item)
	}
	if err != nil {
		err = once.Classify(fmt.Errorf("recommend: read the list of %s: %w", user, err))
	}
	return list, rev, err
}

func parseList(item dynamo.Item) (list List, rev int64, err error) {
	for name := range item {
		if id, ok := strings.CutPrefix(name, prefixSuggestion); ok {
			n, err := dynamo.IntOf(item, name)
			if err != nil {
				return List{}, 0, err
			}
			list.Suggestions = append(list.Suggestions, Suggestion{id, int(n)})
		}
	}
	slices.SortFunc(list.Suggestions, Suggestion.compare)
	if list.At, err = time.Parse(time.RFC3339Nano, dynamo.StringOf(item, attrAt)); err != nil {
		return List{}, 0, err
	}
	rev, err = dynamo.IntOf(item, attrRev)
	return list, rev, err
}

// putList puts a list in the place of the one with the revision before.
func (m *Model) putList(user string, list []Suggestion, before int64) types.TransactWriteItem {
	item := listKey(user).Item()
	item[attrAt], item[attrRev] = dynamo.String(m.cfg.Now().UTC().Format(time.RFC3339Nano)), dynamo.Int(before+1)
	for _, s := range list {
		item[prefixSuggestion+s.ID] = dynamo.Int(int64(s.Shared))
	}
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &m.cfg.Table, Item: item,
		ConditionExpression:       aws.String("attribute_not_exists(#rev) OR #rev = :rev"),
		ExpressionAttributeNames:  map[string]string{"#rev": attrRev},
		ExpressionAttributeValues: dynamo.Item{":rev": dynamo.Int(before)},
	}}
}
