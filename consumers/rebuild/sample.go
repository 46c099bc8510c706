package rebuild

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// attrExpires is by which items expire, as in package once.
const attrExpires = "expires"

// sampled is an item of a sample.
type sampled struct {
	hash uint64
	text string // of the key
	key  dynamo.Item
}

// sample counts the items of a table, and keeps those whose keys have the smallest hashes, so
// that two tables have the same sample in whatever order they are scanned.
type sample struct {
	most  int
	seed  uint64
	key   []string
	skip  []string
	count int
	items []sampled // the greatest hash first
}

// pageUnits is what a page of a scan costs at most: 1 MB, eventually consistent.
const pageUnits = 128

func (s *sample) scan(ctx context.Context, client dynamodb.ScanAPIClient, table string, units int) error {
	in := &dynamodb.ScanInput{
		TableName: &table, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal, FilterExpression: aws.String("attribute_not_exists(#expires)"),
		ExpressionAttributeNames: map[string]string{"#expires": attrExpires},
	}
	var names []string
	for i, name := range s.key {
		ref := fmt.Sprint("#k", i)
		in.ExpressionAttributeNames[ref] = name
		names = append(names, ref)
	}
	in.ProjectionExpression = aws.String(strings.Join(names, ", "))
	limit := rate.NewLimiter(rate.Limit(units), max(pageUnits, units))
	for pages := dynamodb.NewScanPaginator(client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("scan %s: %w", table, err)
		}
		for _, item := range page.Items {
			s.add(item)
		}
		cost := pageUnits
		if c := page.ConsumedCapacity; c != nil && c.CapacityUnits != nil {
			cost = int(math.Ceil(*c.CapacityUnits))
		}
		if err := limit.WaitN(ctx, min(cost, limit.Burst())); err != nil {
			return fmt.Errorf("scan %s: %w", table, err)
		}
	}
	return nil
}

func (s *sample) add(key dynamo.Item) {
	partition := dynamo.StringOf(key, s.key[0])
	if slices.ContainsFunc(s.skip, func(prefix string) bool { return strings.HasPrefix(partition, prefix) }) {
		return
	}
	s.count++
	text := keyText(key, s.key)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.seed, text))
	item := sampled{binary.BigEndian.Uint64(sum[:]), text, key}
	if len(s.items) == s.most {
		if item.hash >= s.items[0].hash {
			return
		}
		heap.Pop(s)
	}
	heap.Push(s, item)
}

// union is the items of both samples, each once.
func (s *sample) union(other *sample) []sampled {
	all := slices.Concat(s.items, other.items)
	slices.SortFunc(all, func(a, b sampled) int { return strings.Compare(a.text, b.text) })
	return slices.CompactFunc(all, func(a, b sampled) bool { return a.text == b.text })
}

// The methods of [heap.Interface].

func (s *sample) Len() int           { return len(s.items) }
func (s *sample) Less(i, j int) bool { return s.items[i].hash > s.items[j].hash }
func (s *sample) Swap(i, j int)      { s.items[i], s.items[j] = s.items[j], s.items[i] }
func (s *sample) Push(x any)         { s.items = append(s.items, x.(sampled)) }
func (s *sample) Pop() any {
	last := s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	return last
}
