package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

type dimension struct{ Name, Value string }

type datum struct {
	MetricName      string
	Dimensions      []dimension
	Timestamp       *instant
	Value           *float64
	StatisticValues any
	Values          []any
	Unit            string
}

type putInput struct {
	Namespace        string
	MetricData       []datum
	EntityMetricData []any
}

// Bounds of what is kept.
const (
	MaxSeries = 10_000
	MaxPoints = 10_000
)

// Bounds of PutMetricData, from "CloudWatch service quotas".
const (
	maxData       = 1000
	maxDimensions = 30
)

// series are the points of one metric by minute, the finest there is.
type series struct{ points []point }

// point is all that happened in one minute.
type point struct {
	at                      time.Time
	count, total, low, high float64
}

// add merges into the minute of its time. The oldest go beyond MaxPoints.
func (s *series) add(p point) {
	p.at = p.at.UTC().Truncate(time.Minute)
	i, found := slices.BinarySearchFunc(s.points, p.at, func(q point, at time.Time) int { return q.at.Compare(at) })
	if found {
		q := &s.points[i]
		q.count, q.total = q.count+p.count, q.total+p.total
		q.low, q.high = min(q.low, p.low), max(q.high, p.high)
		return
	}
	s.points = slices.Insert(s.points, i, p)
	if len(s.points) > MaxPoints {
		s.points = s.points[1:]
	}
}

// key tells metrics apart. Dimensions are a set.
func key(namespace, name string, dimensions []dimension) string {
	parts := make([]string, len(dimensions))
	for i, d := range dimensions {
		parts[i] = d.Name + "\x00" + d.Value
	}
	slices.Sort(parts)
	return namespace + "\x01" + name + "\x01" + strings.Join(parts, "\x01")
}

// Record adds a value to a metric of any namespace, for those that play a service
// of AWS. Dimensions are pairs of name and value. It fails when there are
// MaxSeries metrics already, or a dimension has no value.
func (s *Server) Record(at time.Time, namespace, name string, value float64, dimensions ...string) error {
	if len(dimensions)%2 != 0 {
		return fmt.Errorf("cloudwatch sandbox: metric %s: dimension %q has no value", name, dimensions[len(dimensions)-1])
	}
	var d []dimension
	for pair := range slices.Chunk(dimensions, 2) {
		d = append(d, dimension{pair[0], pair[1]})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record(key(namespace, name, d), point{at, 1, value, value, value})
}

// record adds a point; mu is held.
func (s *Server) record(k string, p point) error {
	of := s.series[k]
	if of == nil {
		if len(s.series) >= MaxSeries {
			return awsjson.Errorf("LimitExceeded", "the sandbox keeps at most %d metrics", MaxSeries)
		}
		of = &series{}
		s.series[k] = of
	}
	of.add(p)
	return nil
}

// putMetricData checks everything before it keeps anything.
func (s *Server) putMetricData(in *putInput) (any, error) {
	switch {
	case in.Namespace == "":
		return nil, awsjson.Errorf("MissingParameter", "The parameter Namespace is required.")
	case strings.HasPrefix(in.Namespace, "AWS/"):
		return nil, awsjson.Errorf("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid.")
	case len(in.EntityMetricData) > 0:
		return nil, awsjson.NotImplemented("EntityMetricData of PutMetricData")
	case len(in.MetricData) > maxData:
		return nil, awsjson.Errorf("InvalidParameterValue", "The collection MetricData must not have a size greater than %d.", maxData)
	}
	keys := make([]string, len(in.MetricData))
	points := make([]point, len(in.MetricData))
	for i, d := range in.MetricData {
		var err error
		if points[i], err = s.point(d); err != nil {
			return nil, err
		}
		keys[i] = key(in.Namespace, d.MetricName, d.Dimensions)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		if err := s.record(k, points[i]); err != nil {
			return nil, err
		}
	}
	return struct{}{}, nil
}

func (s *Server) point(d datum) (point, error) {
	at := s.cfg.Now()
	if d.Timestamp != nil {
		at = d.Timestamp.Time
	}
	switch {
	case d.MetricName == "":
		return point{}, awsjson.Errorf("MissingParameter", "The parameter MetricData.member.1.MetricName is required.")
	case len(d.Dimensions) > maxDimensions:
		return point{}, awsjson.Errorf("InvalidParameterValue", "The collection Dimensions must not have a size greater than %d.", maxDimensions)
	case d.StatisticValues != nil || len(d.Values) > 0:
		return point{}, awsjson.NotImplemented("StatisticValues and Values of PutMetricData")
	case d.Value == nil:
		return point{}, awsjson.Errorf("InvalidParameterCombination", "One of the parameters Value, Values or StatisticValues is required.")
	case math.IsNaN(*d.Value) || math.IsInf(*d.Value, 0):
		return point{}, awsjson.Errorf("InvalidParameterValue", "The value for MetricData of %s is not a number.", d.MetricName)
	}
	return point{at, 1, *d.Value, *d.Value, *d.Value}, nil
}
