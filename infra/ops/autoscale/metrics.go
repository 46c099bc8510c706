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

// Metrics is what this package needs of CloudWatch. A *cloudwatch.Client is one.
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

var figures = [...]string{"IncomingBytes", "IncomingRecords", "WriteProvisionedThroughputExceeded", "GetRecords.Records"}

const (
	bytesOf, recordsOf, throttledOf = 0, 1, 2
	// readsOf is what GetRecords found, of the whole stream only. Kinesis writes no
	// figures of a minute in which nothing came: that nothing was found tells that
	// minute from one whose figures are missing.
	readsOf = 3

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

// figuresOf are the series of a source.
type figuresOf [len(figures)]series

// reader reads series from CloudWatch.
type reader struct{ api Metrics }

// readSeries returns the figures of sources from a minute up to another, which is not
// among them.
func (r reader) readSeries(ctx context.Context, sources []source, from, to time.Time) ([]figuresOf, error) {
	out := make([]figuresOf, len(sources))
	var queries []types.MetricDataQuery
	for i, s := range sources {
		for f := range figures {
			out[i][f] = series{}
			if f == readsOf && s.shard != "" {
				continue
			}
			queries = append(queries, metricQuery(i*len(figures)+f, s, figures[f]))
		}
	}
	for part := range slices.Chunk(queries, maxQueries) {
		if err := r.readPages(ctx, part, from, to, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func metricQuery(id int, s source, figure string) types.MetricDataQuery {
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

func (r reader) readPages(ctx context.Context, queries []types.MetricDataQuery, from, to time.Time, out []figuresOf) error {
	in := &cloudwatch.GetMetricDataInput{StartTime: &from, EndTime: &to, MetricDataQueries: queries, ScanBy: types.ScanByTimestampAscending}
	for range maxPages {
		page, err := r.api.GetMetricData(ctx, in)
		if err != nil {
			return fmt.Errorf("read metrics: %w", err)
		}
		for _, result := range page.MetricDataResults {
			if err := addResult(result, out, from, to); err != nil {
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

// addResult adds one result. Figures that CloudWatch itself calls incomplete, for another
// reason than that there is another page, must not count as a small load.
func addResult(result types.MetricDataResult, out []figuresOf, from, to time.Time) error {
	id, err := strconv.Atoi(strings.TrimPrefix(aws.ToString(result.Id), "q"))
	if err != nil || id < 0 || id >= len(out)*len(figures) || len(result.Values) != len(result.Timestamps) {
		return fmt.Errorf("read metrics: unexpected result %q", aws.ToString(result.Id))
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
// shards, for the minutes of which something is known.
func minutes(shards []Shard, stream figuresOf, byShard []figuresOf, from, to time.Time) (out []Minute) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		if stream.hasIncoming(at) || stream.isIdle(at, to) {
			out = append(out, minute(shards, stream, byShard, at))
		}
	}
	return out
}

// hasIncoming reports whether there are figures of incoming records in a minute.
func (f figuresOf) hasIncoming(at time.Time) bool {
	for _, s := range f[:readsOf] {
		if _, known := s[at]; known {
			return true
		}
	}
	return false
}

// isIdle reports whether nothing came in during a minute: readers found nothing, and the
// figures of that minute are not merely late.
func (f figuresOf) isIdle(at, to time.Time) bool {
	found, read := f[readsOf][at]
	return read && found == 0 && (at.Before(to.Add(-lagMinutes*time.Minute)) || f.hasIncomingAfter(at))
}

// hasIncomingAfter reports whether there are figures of incoming records after a minute.
func (f figuresOf) hasIncomingAfter(than time.Time) bool {
	for _, s := range f[:readsOf] {
		for at := range s {
			if at.After(than) {
				return true
			}
		}
	}
	return false
}

// totals are the loads of a whole stream, in no order.
func totals(stream figuresOf) []Total {
	loads := map[time.Time]float64{}
	for _, f := range []int{bytesOf, recordsOf} {
		for at := range stream[f] {
			load := max(stream[bytesOf][at]/bytesPerMinute, stream[recordsOf][at]/recordsPerMinute)
			loads[at] = load * demandFactor(stream[recordsOf][at], stream[throttledOf][at])
		}
	}
	out := make([]Total, 0, len(loads))
	for at, load := range loads {
		out = append(out, Total{at, load})
	}
	return out
}

// demandFactor estimates demand as a multiple of the accepted records. Refused records
// are retried and counted repeatedly, so it is at most 2, which is also the most that
// one step can add.
func demandFactor(taken, refused float64) float64 {
	if refused <= 0 {
		return 1
	}
	return 1 + min(1, refused/max(taken, 1))
}

// addUpTo reports whether the figures of the shards add up to the stream's.
func addUpTo(stream figuresOf, byShard []figuresOf, at time.Time) bool {
	for f := range readsOf {
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

func minute(shards []Shard, stream figuresOf, byShard []figuresOf, at time.Time) Minute {
	m := Minute{At: at, Load: make([]float64, len(shards)), Throttled: make([]float64, len(shards))}
	m.Spread = byShard == nil || !addUpTo(stream, byShard, at)
	for i, s := range shards {
		of, share := stream, s.share()
		if !m.Spread {
			of, share = byShard[i], 1
		}
		m.Load[i] = share * max(of[bytesOf][at]/bytesPerMinute, of[recordsOf][at]/recordsPerMinute)
		m.Throttled[i] = share * of[throttledOf][at]
	}
	return m
}
