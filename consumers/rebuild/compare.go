package rebuild

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// TablesAPI is what comparing needs of *dynamodb.Client: DescribeTable, Scan and BatchGetItem on
// both tables.
type TablesAPI interface {
	dynamodb.DescribeTableAPIClient
	dynamodb.ScanAPIClient
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
}

// Compare holds two tables against each other. All but Skip and Ignore is required.
type Compare struct {
	Client   TablesAPI
	Old, New string
	// Sample is how many items of each table are compared.
	Sample int
	Seed   uint64
	// Units is how many read units a second the scan of each table takes at most.
	Units int
	// Tolerance is the share of items by which the counts may differ where Sample is not all.
	Tolerance float64
	// Patience is how long items that differ are read again.
	Patience time.Duration
	Skip     []string // prefixes of partition keys that are left out
	Ignore   []string // attributes that are left out
}

// Comparison is what was found.
type Comparison struct {
	Old      string `json:"old"`
	New      string `json:"new"`
	Seed     uint64 `json:"seed"`
	OldItems int    `json:"old_items"`
	NewItems int    `json:"new_items"`
	Compared int    `json:"compared"` // items
	// Different are the keys of items that differ, with the names of the attributes; in order.
	Different []string `json:"different,omitempty"`
	problem   string
}

// ErrDifferent is that of tables which are not the same.
var ErrDifferent = errors.New("the tables are not the same")

// Err is nil for tables that are the same, as far as they were compared.
func (c Comparison) Err() error {
	if c.problem == "" {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDifferent, c.problem)
}

// Run scans both tables, which is eventually consistent, and reads the sample consistently. It
// holds the keys of the sample. Its error is that of reading; see [Comparison.Err].
func (c Compare) Run(ctx context.Context) (Comparison, error) {
	out := Comparison{Old: c.Old, New: c.New, Seed: c.Seed}
	if c.Sample < 1 || c.Units < 1 || c.Tolerance < 0 || c.Patience < 0 || c.Old == c.New {
		return out, errors.New("compare needs two tables, a sample and read units of at least 1, and no negative tolerance or patience")
	}
	key, err := c.keyAttributes(ctx)
	if err != nil {
		return out, err
	}
	samples := [2]*sample{{most: c.Sample, seed: c.Seed, key: key, skip: c.Skip}, {most: c.Sample, seed: c.Seed, key: key, skip: c.Skip}}
	work, scanCtx := errgroup.WithContext(ctx)
	for i, table := range []string{c.Old, c.New} {
		work.Go(func() error { return samples[i].scan(scanCtx, c.Client, table, c.Units) })
	}
	if err := work.Wait(); err != nil {
		return out, err
	}
	out.OldItems, out.NewItems = samples[0].count, samples[1].count
	keys := samples[0].union(samples[1])
	out.Compared = len(keys)
	out.Different, err = c.different(ctx, key, keys)
	out.problem = c.problem(out)
	return out, err
}

func (c Compare) problem(out Comparison) string {
	if n := len(out.Different); n > 0 {
		return fmt.Sprintf("%d of %d items that were compared differ, such as %s", n, out.Compared, out.Different[0])
	}
	fewer, more := min(out.OldItems, out.NewItems), max(out.OldItems, out.NewItems)
	if more > c.Sample && float64(more-fewer) > c.Tolerance*float64(more) {
		return fmt.Sprintf("%s has %d items and %s has %d: compare a larger sample to find which", c.Old, out.OldItems, c.New, out.NewItems)
	}
	return ""
}

// keyAttributes are the partition key and the sort key, which both tables must have.
func (c Compare) keyAttributes(ctx context.Context) (key []string, err error) {
	for _, table := range []string{c.Old, c.New} {
		out, err := c.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			return nil, fmt.Errorf("describe table %s: %w", table, err)
		}
		var names []string
		for _, e := range out.Table.KeySchema {
			names = append(names, aws.ToString(e.AttributeName))
		}
		if key != nil && !slices.Equal(key, names) {
			return nil, fmt.Errorf("%w: the keys of %s are %v, those of %s are %v", ErrDifferent, c.Old, key, c.New, names)
		}
		key = names
	}
	return key, nil
}

// readAgain is the pauses between readings of what differs.
var readAgain = backoff.Backoff{Min: 200 * time.Millisecond, Max: 5 * time.Second}

// different reads items of both tables until they are the same, or the patience ends.
func (c Compare) different(ctx context.Context, key []string, keys []sampled) ([]string, error) {
	l := look{c: c, key: key, seen: [2]map[string]bool{{}, {}}}
	for attempt, end := 0, time.Now().Add(c.Patience); ; attempt++ {
		var names []string
		var left []sampled
		for chunk := range slices.Chunk(keys, maxBatch) {
			differ, texts, err := l.compare(ctx, chunk)
			if err != nil {
				return nil, err
			}
			left, names = append(left, differ...), append(names, texts...)
		}
		if keys = left; len(keys) == 0 || time.Now().After(end) {
			slices.Sort(names)
			return names, nil
		}
		if err := readAgain.Wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

// look compares items, and remembers what each table was seen to have.
type look struct {
	c    Compare
	key  []string
	seen [2]map[string]bool // by text of the key, and digest of the item
}

// compare returns which differ, and how.
func (l *look) compare(ctx context.Context, keys []sampled) (differ []sampled, texts []string, err error) {
	before, err := l.read(ctx, l.c.Old, keys)
	if err != nil {
		return nil, nil, err
	}
	after, err := l.read(ctx, l.c.New, keys)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range keys {
		a, b := before[k.text], after[k.text]
		x, y := k.text+digest(a), k.text+digest(b)
		if x == y || l.seen[1][x] || l.seen[0][y] {
			continue
		}
		l.seen[0][x], l.seen[1][y] = true, true
		differ, texts = append(differ, k), append(texts, k.text+": "+l.describe(a, b))
	}
	return differ, texts, nil
}

func (l *look) describe(a, b content) string {
	switch {
	case a == nil:
		return "only in " + l.c.New
	case b == nil:
		return "only in " + l.c.Old
	}
	var names []string
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// maxBatch is DynamoDB's limit of BatchGetItem.
const maxBatch = 100

// read reads items consistently, by the texts of their keys. What is gone, or expires, is absent.
func (l *look) read(ctx context.Context, table string, keys []sampled) (map[string]content, error) {
	all := map[string]content{}
	request := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
	for _, k := range keys {
		request.Keys = append(request.Keys, k.key)
	}
	pending := map[string]types.KeysAndAttributes{table: request}
	for attempt := 0; len(pending) > 0; attempt++ {
		out, err := l.c.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: pending})
		if err != nil {
			return nil, fmt.Errorf("read %d items of %s: %w", len(keys), table, err)
		}
		for _, item := range out.Responses[table] {
			if _, expires := item[attrExpires]; !expires {
				all[keyText(item, l.key)] = contentOf(item, l.c.Ignore)
			}
		}
		if pending = out.UnprocessedKeys; len(pending) > 0 {
			if err := readAgain.Wait(ctx, attempt); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
