package cloudwatch

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

type metric struct {
	Namespace, MetricName string
	Dimensions            []dimension
}

type metricStat struct {
	Metric metric
	Period int
	Stat   string
	Unit   string `json:",omitempty"`
}

type query struct {
	Id                           string
	Label, Expression, AccountId string      `json:",omitempty"`
	MetricStat                   *metricStat `json:",omitempty"`
	Period                       int         `json:",omitempty"`
	ReturnData                   *bool       `json:",omitempty"`
}

type getInput struct {
	MetricDataQueries  []query
	StartTime, EndTime instant
	NextToken          string
	ScanBy             string
	MaxDatapoints      int
	LabelOptions       any
}

type result struct {
	Id, Label, StatusCode string
	Timestamps            []instant
	Values                []float64
}

type getOutput struct {
	MetricDataResults []result
	Messages          []any
	NextToken         *string `json:",omitempty"`
}

// Bounds of GetMetricData, from its page in the API reference.
const (
	maxQueries    = 500
	maxDatapoints = 100_800
)

func (s *Server) getMetricData(in *getInput) (any, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	from, err := in.offset()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &getOutput{MetricDataResults: []result{}, Messages: []any{}}
	left, seen := in.MaxDatapoints, 0
	for _, q := range in.MetricDataQueries {
		all := s.results(in, q)
		r := result{Id: q.Id, Label: q.MetricStat.Metric.MetricName, StatusCode: "Complete", Timestamps: []instant{}, Values: []float64{}}
		begin := min(max(from-seen, 0), len(all))
		end := min(begin+left, len(all))
		for _, p := range all[begin:end] {
			r.Timestamps, r.Values = append(r.Timestamps, at(p.at)), append(r.Values, p.total)
		}
		if end < len(all) {
			r.StatusCode = "PartialData"
			token := strconv.Itoa(seen + end)
			out.NextToken = &token
		}
		left, seen = left-(end-begin), seen+len(all)
		out.MetricDataResults = append(out.MetricDataResults, r)
		if out.NextToken != nil {
			break
		}
	}
	return out, nil
}

func (in *getInput) offset() (int, error) {
	if in.NextToken == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(in.NextToken)
	if err != nil || n < 0 {
		return 0, awsjson.Errorf("InvalidNextToken", "The value %s for parameter NextToken is invalid.", in.NextToken)
	}
	return n, nil
}

func (in *getInput) check() error {
	in.MaxDatapoints = cmp.Or(in.MaxDatapoints, maxDatapoints)
	switch {
	case len(in.MetricDataQueries) == 0 || len(in.MetricDataQueries) > maxQueries:
		return awsjson.Errorf("ValidationError", "The collection MetricDataQueries must have a size from 1 to %d.", maxQueries)
	case !in.EndTime.After(in.StartTime.Time):
		return awsjson.Errorf("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
	case in.MaxDatapoints < 1 || in.MaxDatapoints > maxDatapoints:
		return awsjson.Errorf("ValidationError", "The parameter MaxDatapoints must be from 1 to %d.", maxDatapoints)
	case in.ScanBy != "" && in.ScanBy != "TimestampAscending" && in.ScanBy != "TimestampDescending":
		return awsjson.Errorf("ValidationError", "The value %s for parameter ScanBy is invalid.", in.ScanBy)
	}
	seen := map[string]bool{}
	for _, q := range in.MetricDataQueries {
		if err := q.check(); err != nil {
			return err
		}
		if seen[q.Id] {
			return awsjson.Errorf("ValidationError", "The values for parameter id in MetricDataQueries are not unique.")
		}
		seen[q.Id] = true
	}
	return nil
}

func (q query) check() error {
	switch {
	case q.Id == "" || q.Id[0] < 'a' || q.Id[0] > 'z':
		return awsjson.Errorf("ValidationError", "The value %s for parameter id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.", q.Id)
	case q.Expression != "" || q.AccountId != "" || q.MetricStat == nil:
		return awsjson.NotImplemented("an expression or another account in GetMetricData")
	case q.ReturnData != nil && !*q.ReturnData:
		return awsjson.NotImplemented("ReturnData false, which only expressions use,")
	case q.MetricStat.Unit != "":
		return awsjson.NotImplemented("Unit in GetMetricData")
	case q.MetricStat.Period < 60 || q.MetricStat.Period%60 != 0:
		return awsjson.Errorf("ValidationError", "Period must be a multiple of 60; the sandbox keeps minutes.")
	case !slices.Contains([]string{"Sum", "Average", "Minimum", "Maximum", "SampleCount"}, q.MetricStat.Stat):
		return awsjson.NotImplemented("the statistic " + q.MetricStat.Stat)
	}
	return nil
}

// results are the points of one query, each with its statistic as the total; mu is
// held.
func (s *Server) results(in *getInput, q query) []point {
	of := s.series[key(q.MetricStat.Metric.Namespace, q.MetricStat.Metric.MetricName, q.MetricStat.Metric.Dimensions)]
	if of == nil {
		return nil
	}
	period := time.Duration(q.MetricStat.Period) * time.Second
	var merged series
	var out []point
	for _, p := range of.points {
		p.at = p.at.Truncate(period)
		if p.at.Before(in.StartTime.Truncate(period)) || !p.at.Before(in.EndTime.Time) {
			continue
		}
		merged.add(p)
	}
	for _, p := range merged.points {
		out = append(out, point{at: p.at, total: p.statistic(q.MetricStat.Stat)})
	}
	if in.ScanBy != "TimestampAscending" {
		slices.Reverse(out)
	}
	return out
}

func (p point) statistic(name string) float64 {
	switch name {
	case "Average":
		return p.total / p.count
	case "Minimum":
		return p.low
	case "Maximum":
		return p.high
	case "SampleCount":
		return p.count
	}
	return p.total
}
