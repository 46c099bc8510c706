package deadletter

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Stats are the figures of one consumer's dead letters.
type Stats struct {
	Consumer string
	// Waiting were not redriven yet. Oldest and Newest are when the consumer gave up on
	// them; zero if there are none.
	Waiting        int
	Oldest, Newest time.Time
	// Redriven were.
	Redriven int
	// Types and Reasons count those that wait; "" is the type of what cannot be decoded. In
	// reasons each number is 0, so that equal ones are counted together, and they are cut at
	// 160 bytes. Beyond 100 different ones, the others are counted as [Other].
	Types, Reasons map[string]int
}

// Other stands for all types and reasons beyond the hundredth.
const Other = "(other)"

const maxDifferent, maxShown = 100, 160

// Stats counts the dead letters of all consumers, in the order of their names. It scans the
// table, with the bytes of the letters: a read unit for every 8 KB of it.
func (s *Store) Stats(ctx context.Context) ([]Stats, error) {
	in := &dynamodb.ScanInput{
		TableName:                 &s.table,
		ProjectionExpression:      aws.String(listed),
		FilterExpression:          aws.String("begins_with(#pk, :prefix)"),
		ExpressionAttributeNames:  namesIn(listed),
		ExpressionAttributeValues: dynamo.Item{":prefix": dynamo.String(prefixConsumer)},
	}
	all := map[string]*Stats{}
	for {
		out, err := s.client.Scan(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("deadletter: scan table %q: %w", s.table, err)
		}
		for _, i := range out.Items {
			l, err := decode(i)
			if err != nil {
				return nil, fmt.Errorf("deadletter: scan table %q: %w", s.table, err)
			}
			if all[l.Consumer] == nil {
				all[l.Consumer] = &Stats{Consumer: l.Consumer, Types: map[string]int{}, Reasons: map[string]int{}}
			}
			all[l.Consumer].count(l)
		}
		if in.ExclusiveStartKey = out.LastEvaluatedKey; len(in.ExclusiveStartKey) == 0 {
			break
		}
	}
	var sorted []Stats
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sorted = append(sorted, *all[name])
	}
	return sorted, nil
}

func (s *Stats) count(l Letter) {
	if !l.RedrivenAt.IsZero() {
		s.Redriven++
		return
	}
	s.Waiting++
	if s.Oldest.IsZero() || l.At.Before(s.Oldest) {
		s.Oldest = l.At
	}
	if l.At.After(s.Newest) {
		s.Newest = l.At
	}
	countUnder(s.Types, l.EventType)
	countUnder(s.Reasons, withoutNumbers(l.Reason))
}

func countUnder(counts map[string]int, name string) {
	if counts[name] == 0 && len(counts) >= maxDifferent {
		name = Other
	}
	counts[name]++
}

// number is one of any base, or an id that begins with or has a digit.
var number = regexp.MustCompile(`[0-9A-Za-z]*[0-9][0-9A-Za-z.:-]*`)

func withoutNumbers(reason string) string {
	return shortenTo(number.ReplaceAllString(reason, "0"), maxShown)
}

// ByCount returns the names in the order of how often they were counted.
func ByCount(counts map[string]int) []string {
	return slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}
