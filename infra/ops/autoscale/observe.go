package autoscale

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Streams is what this package needs of Kinesis. A *kinesis.Client is
// one.
type Streams interface {
	DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	Changes
}

// Changes change the shards of a stream.
type Changes interface {
	UpdateShardCount(context.Context, *kinesis.UpdateShardCountInput, ...func(*kinesis.Options)) (*kinesis.UpdateShardCountOutput, error)
	SplitShard(context.Context, *kinesis.SplitShardInput, ...func(*kinesis.Options)) (*kinesis.SplitShardOutput, error)
	MergeShards(context.Context, *kinesis.MergeShardsInput, ...func(*kinesis.Options)) (*kinesis.MergeShardsOutput, error)
}

// observe looks at a stream and its figures.
func (a *Autoscaler) observe(ctx context.Context, p Policy) (Observation, error) {
	o := Observation{Now: a.now()}
	summary, err := a.streams.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &p.Stream})
	if err != nil {
		return o, fmt.Errorf("describe stream %s: %w", p.Stream, err)
	}
	s := summary.StreamDescriptionSummary
	o.Active = s.StreamStatus == types.StreamStatusActive
	o.OnDemand = s.StreamModeDetails != nil && s.StreamModeDetails.StreamMode == types.StreamModeOnDemand
	if o.OnDemand || !o.Active {
		return o, nil
	}
	if o.Shards, err = a.openShards(ctx, p.Stream); err != nil {
		return o, err
	}
	return o, a.readFigures(ctx, p, hasShardMetrics(s.EnhancedMonitoring), &o)
}

// hasShardMetrics reports whether all figures are enabled for each shard.
func hasShardMetrics(monitoring []types.EnhancedMetrics) bool {
	on := map[types.MetricsName]bool{}
	for _, m := range monitoring {
		for _, name := range m.ShardLevelMetrics {
			on[name] = true
		}
	}
	if on[types.MetricsNameAll] {
		return true
	}
	for _, name := range figures[:readsOf] {
		if !on[types.MetricsName(name)] {
			return false
		}
	}
	return true
}

// openShards are sorted by their ranges.
func (a *Autoscaler) openShards(ctx context.Context, stream string) ([]Shard, error) {
	var out []Shard
	in := &kinesis.ListShardsInput{StreamName: &stream, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}}
	for {
		page, err := a.streams.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of %s: %w", stream, err)
		}
		for _, s := range page.Shards {
			shard, err := parseShard(s)
			if err != nil {
				return nil, fmt.Errorf("list the shards of %s: %w", stream, err)
			}
			out = append(out, shard)
		}
		if page.NextToken == nil {
			slices.SortFunc(out, func(a, b Shard) int { return a.First.Cmp(b.First) })
			return out, nil
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken} // with nothing beside it
	}
}

func parseShard(s types.Shard) (Shard, error) {
	if s.HashKeyRange != nil {
		first, ok := new(big.Int).SetString(aws.ToString(s.HashKeyRange.StartingHashKey), 10)
		last, also := new(big.Int).SetString(aws.ToString(s.HashKeyRange.EndingHashKey), 10)
		if ok && also && first.Cmp(last) <= 0 {
			return Shard{ID: aws.ToString(s.ShardId), First: first, Last: last}, nil
		}
	}
	return Shard{}, fmt.Errorf("shard %s has no range of hash keys", aws.ToString(s.ShardId))
}

// readFigures reads the figures of the minutes that are complete.
func (a *Autoscaler) readFigures(ctx context.Context, p Policy, byShard bool, o *Observation) error {
	to := o.Now.UTC().Truncate(time.Minute)
	from := to.Add(-time.Duration(p.DownMinutes+lagMinutes) * time.Minute)
	since := to.Add(-max(time.Duration(memory*p.DownMinutes)*time.Minute, aDay+compared))
	r := reader{a.metrics}
	stream, err := r.readSeries(ctx, []source{{stream: p.Stream}}, since, to)
	if err != nil {
		return fmt.Errorf("stream %s: %w", p.Stream, err)
	}
	var shards []figuresOf
	if byShard {
		sources := make([]source, len(o.Shards))
		for i, s := range o.Shards {
			sources[i] = source{p.Stream, s.ID}
		}
		if shards, err = r.readSeries(ctx, sources, from, to); err != nil {
			return fmt.Errorf("shards of %s: %w", p.Stream, err)
		}
	}
	o.Totals = totals(stream[0])
	o.Minutes, o.ByShard = minutes(o.Shards, stream[0], shards, from, to), byShard
	return nil
}

const (
	// lagMinutes are how late figures may be.
	lagMinutes = 5
	// staleMinutes after the last known one nothing is decided any more.
	staleMinutes = 2 * lagMinutes
)
