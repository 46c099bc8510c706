package autoscale

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Metrics is what is asked of CloudWatch. A *cloudwatch.Client is one.
type Metrics interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
}

// The figures that are looked at, of a stream and of a shard:
// https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html
const (
	namespace = "AWS/Kinesis"
	dimStream = "StreamName"
	dimShard  = "ShardId"
)

var figures = [...]string{"IncomingBytes", "IncomingRecords", "WriteProvisionedThroughputExceeded"}

const (
	bytesOf, recordsOf, throttledOf = 0, 1, 2

	bytesPerMinute   = 60 << 20
	recordsPerMinute = 60 * 1000

	maxQueries = 500 // of one GetMetricData
	maxPages   = 100
	// addUp is how much of a stream's load its shards' figures must have, or they
	// are not complete.
	addUp = 0.8
)

// series are the sums of one figure, by minute.
type series map[time.Time]float64

// source is a stream (shard "") or one of its shards.
type source struct{ stream, shard string }

// figuresOf are the three series of a source.
type figuresOf [len(figures)]series

// reader reads series from CloudWatch.
type reader struct{ api Metrics }

// read returns the figures of sources from a minute up to another, which is not
// among them.
func (r reader) read(ctx context.Context, sources []source, from, to time.Time) ([]figuresOf, error) {
	out := make([]figuresOf, len(sources))
	var queries []types.MetricDataQuery
	for i, s := range sources {
		for f := range figures {
			out[i][f] = series{}
			queries = append(queries, query(i*len(figures)+f, s, figures[f]))
		}
	}
	for part := range slices.Chunk(queries, maxQueries) {
		if err := r.pages(ctx, part, from, to, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func query(id int, s source, figure string) types.MetricDataQuery {
	dimensions := []types.Dimension{{Name: aws.String(dimStream), Value: &s.stream}}
	if s.shard != "" {
		dimensions = append(dimensions, types.Dimension{Name: aws.String(dimShard), Value: &s.shard})
	}
	return types.MetricDataQuery{
		Id: aws.String("q" + strconv.Itoa(id)),
		MetricStat: &types.MetricStat{
			Metric: &types.Metric{Namespace: aws.String(namespace), MetricName: &figure, Dimensions: dimensions},
			Period: aws.Int32(60), Stat: aws.String("Sum"),
		},
	}
}

func (r reader) pages(ctx context.Context, queries []types.MetricDataQuery, from, to time.Time, out []figuresOf) error {
	in := &cloudwatch.GetMetricDataInput{StartTime: &from, EndTime: &to, MetricDataQueries: queries, ScanBy: types.ScanByTimestampAscending}
	for range maxPages {
		page, err := r.api.GetMetricData(ctx, in)
		if err != nil {
			return fmt.Errorf("read metrics: %w", err)
		}
		for _, result := range page.MetricDataResults {
			if err := collect(result, out, from, to); err != nil {
				return err
			}
		}
		if page.NextToken == nil {
			return nil
		}
		in.NextToken = page.NextToken
	}
	return fmt.Errorf("read metrics: there is no end after %d pages", maxPages)
}

// collect adds one result. Figures that CloudWatch itself calls incomplete for a
// reason other than another page must not be taken for a small load.
func collect(result types.MetricDataResult, out []figuresOf, from, to time.Time) error {
	id, err := strconv.Atoi(strings.TrimPrefix(aws.ToString(result.Id), "q"))
	if err != nil || id < 0 || id >= len(out)*len(figures) || len(result.Values) != len(result.Timestamps) {
		return fmt.Errorf("read metrics: result %q was not asked for", aws.ToString(result.Id))
	}
	if result.StatusCode == types.StatusCodeInternalError || result.StatusCode == types.StatusCodeForbidden {
		return fmt.Errorf("read metrics: CloudWatch answers %s for %s", result.StatusCode, figures[id%len(figures)])
	}
	into := out[id/len(figures)][id%len(figures)]
	for i, at := range result.Timestamps {
		if at = at.UTC().Truncate(time.Minute); !at.Before(from) && at.Before(to) {
			into[at] = result.Values[i]
		}
	}
	return nil
}

// minutes makes loads of the figures of a stream and, where byShard is set, of its
// shards. Between figures no figure is no load; after the last there is nothing
// known, unless none came in the whole time since idle.
func minutes(shards []Shard, stream figuresOf, byShard []figuresOf, from, to, idle time.Time) (out []Minute, measured bool) {
	last, known := stream.last()
	if !known {
		if idle.IsZero() {
			return nil, false
		}
		last = to.Add(-time.Minute)
	}
	measured = byShard != nil
	for at := from; !at.After(last) && at.Before(to); at = at.Add(time.Minute) {
		if measured && !adds(stream, byShard, at) {
			measured = false
		}
	}
	for at := from; !at.After(last) && at.Before(to); at = at.Add(time.Minute) {
		out = append(out, minute(shards, stream, byShard, measured, at))
	}
	return out, measured
}

// totals are the loads of a whole stream, in no order.
func totals(stream figuresOf) []Total {
	loads := map[time.Time]float64{}
	for _, f := range []int{bytesOf, recordsOf} {
		for at := range stream[f] {
			load := max(stream[bytesOf][at]/bytesPerMinute, stream[recordsOf][at]/recordsPerMinute)
			loads[at] = load * wanted(stream[recordsOf][at], stream[throttledOf][at])
		}
	}
	out := make([]Total, 0, len(loads))
	for at, load := range loads {
		out = append(out, Total{at, load})
	}
	return out
}

// wanted is how many times what was taken was asked for. Who is refused asks again
// and again, so that it is twice at most, which is also what one step can add.
func wanted(taken, refused float64) float64 {
	if refused <= 0 {
		return 1
	}
	return 1 + min(1, refused/max(taken, 1))
}

// last is the last minute with any figure.
func (f figuresOf) last() (at time.Time, known bool) {
	for _, s := range f {
		for t := range s {
			if t.After(at) {
				at, known = t, true
			}
		}
	}
	return at, known
}

// adds says whether the figures of the shards add up to the stream's.
func adds(stream figuresOf, byShard []figuresOf, at time.Time) bool {
	for f := range figures {
		total := 0.0
		for _, s := range byShard {
			total += s[f][at]
		}
		if total < addUp*stream[f][at] {
			return false
		}
	}
	return true
}

func minute(shards []Shard, stream figuresOf, byShard []figuresOf, measured bool, at time.Time) Minute {
	m := Minute{At: at, Load: make([]float64, len(shards)), Throttled: make([]float64, len(shards))}
	for i, s := range shards {
		of, share := stream, s.share()
		if measured {
			of, share = byShard[i], 1
		}
		m.Load[i] = share * max(of[bytesOf][at]/bytesPerMinute, of[recordsOf][at]/recordsPerMinute)
		m.Throttled[i] = share * of[throttledOf][at]
	}
	return m
}
