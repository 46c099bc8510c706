package cloudwatch_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
)

func sums(id, namespace, name string, dimensions ...types.Dimension) types.MetricDataQuery {
	return types.MetricDataQuery{Id: &id, MetricStat: &types.MetricStat{
		Period: aws.Int32(60), Stat: aws.String("Sum"),
		Metric: &types.Metric{Namespace: &namespace, MetricName: &name, Dimensions: dimensions},
	}}
}

// conformData is what the autoscaler relies on: sums by minute, in order, of the
// metric with exactly these dimensions.
func conformData(t *testing.T, c *cloudwatch.Client, skip map[string]string) {
	minute := time.Now().UTC().Truncate(time.Minute).Add(-10 * time.Minute)
	namespace := fmt.Sprintf("Test/%d", time.Now().UnixNano())
	shard := types.Dimension{Name: aws.String("ShardId"), Value: aws.String("one")}
	datum := func(at time.Time, value float64, dimensions ...types.Dimension) types.MetricDatum {
		return types.MetricDatum{MetricName: aws.String("In"), Timestamp: &at, Value: &value, Dimensions: dimensions}
	}
	put := func(data ...types.MetricDatum) {
		t.Helper()
		if _, err := c.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: data}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(t *testing.T, queries []types.MetricDataQuery, wants ...string) []types.MetricDataResult {
		t.Helper()
		out, err := c.GetMetricData(t.Context(), &cloudwatch.GetMetricDataInput{
			StartTime: &minute, EndTime: aws.Time(minute.Add(3 * time.Minute)), ScanBy: types.ScanByTimestampAscending, MetricDataQueries: queries,
		})
		if err != nil || len(out.MetricDataResults) != len(wants) {
			t.Fatalf("%+v, %v", out, err)
		}
		for i, want := range wants {
			r := out.MetricDataResults[i]
			if got := fmt.Sprint(*r.Id, " ", r.Values); got != want || r.StatusCode != types.StatusCodeComplete {
				t.Errorf("got %s, %s, want %s", got, r.StatusCode, want)
			}
		}
		return out.MetricDataResults
	}
	put(datum(minute.Add(70*time.Second), 5), datum(minute, 1), datum(minute.Add(59*time.Second), 2), datum(minute.Add(3*time.Minute), 100))
	t.Run("Sums", func(t *testing.T) {
		r := check(t, []types.MetricDataQuery{sums("all", namespace, "In"), sums("none", namespace, "Out")}, "all [3 5]", "none []")[0]
		if len(r.Timestamps) != 2 || !r.Timestamps[0].Equal(minute) || !r.Timestamps[1].Equal(minute.Add(time.Minute)) {
			t.Errorf("at %v, want %v and the minute after", r.Timestamps, minute)
		}
	})
	put(datum(minute, 40, shard))
	t.Run("Dimensions", func(t *testing.T) {
		if why := skip["Dimensions"]; why != "" {
			t.Skip(why)
		}
		check(t, []types.MetricDataQuery{sums("all", namespace, "In"), sums("shard", namespace, "In", shard)}, "all [3 5]", "shard [40]")
	})
}

func TestData(t *testing.T) { conformData(t, serve(t, sandbox.Config{}), nil) }

// TestPeerData holds the same against an independent CloudWatch.
func TestPeerData(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_CLOUDWATCH")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_CLOUDWATCH names no CloudWatch")
	}
	conformData(t, jsonClient(t, url), map[string]string{
		"Dimensions": "moto adds up the metrics of a name whatever their dimensions, where CloudWatch takes each combination for a metric of its own",
	})
}

// TestDataInPages: a page ends in the middle of a metric and goes on there.
func TestDataInPages(t *testing.T) {
	s, err := sandbox.New(sandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c := client(t, server.URL)
	begin := time.Now().UTC().Truncate(time.Minute).Add(-time.Hour)
	for i := range 7 {
		for _, name := range []string{"A", "B"} {
			if err := s.Record(begin.Add(time.Duration(i)*time.Minute), "AWS/Kinesis", name, float64(i), "StreamName", "s"); err != nil {
				t.Fatal(err)
			}
		}
	}
	stream := types.Dimension{Name: aws.String("StreamName"), Value: aws.String("s")}
	in := &cloudwatch.GetMetricDataInput{
		StartTime: &begin, EndTime: aws.Time(begin.Add(time.Hour)), MaxDatapoints: aws.Int32(3), ScanBy: types.ScanByTimestampAscending,
		MetricDataQueries: []types.MetricDataQuery{sums("a", "AWS/Kinesis", "A", stream), sums("b", "AWS/Kinesis", "B", stream)},
	}
	got := map[string][]float64{}
	for pages := 1; ; pages++ {
		out, err := c.GetMetricData(t.Context(), in)
		if err != nil || pages > 5 {
			t.Fatalf("page %d: %v", pages, err)
		}
		for _, r := range out.MetricDataResults {
			got[*r.Id] = append(got[*r.Id], r.Values...)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if s := fmt.Sprint(got["a"], got["b"]); s != "[0 1 2 3 4 5 6] [0 1 2 3 4 5 6]" {
		t.Errorf("got %s", s)
	}
}

func TestDataIsRefused(t *testing.T) {
	c := serve(t, sandbox.Config{})
	put := func(namespace string, d types.MetricDatum) error {
		_, err := c.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: []types.MetricDatum{d}})
		return err
	}
	one := types.MetricDatum{MetricName: aws.String("M"), Value: aws.Float64(1)}
	if err := put("AWS/Kinesis", one); err == nil {
		t.Error("a namespace of AWS was written")
	}
	if err := put("Mine", types.MetricDatum{MetricName: aws.String("M")}); err == nil {
		t.Error("no value was written")
	}
	if err := put("Mine", one); err != nil {
		t.Error(err)
	}
	now := time.Now()
	for name, change := range map[string]func(*cloudwatch.GetMetricDataInput){
		"time":      func(in *cloudwatch.GetMetricDataInput) { in.EndTime = in.StartTime },
		"id":        func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].Id = aws.String("A") },
		"period":    func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].MetricStat.Period = aws.Int32(90) },
		"statistic": func(in *cloudwatch.GetMetricDataInput) { in.MetricDataQueries[0].MetricStat.Stat = aws.String("p99") },
		"token":     func(in *cloudwatch.GetMetricDataInput) { in.NextToken = aws.String("x") },
		"expression": func(in *cloudwatch.GetMetricDataInput) {
			in.MetricDataQueries[0] = types.MetricDataQuery{Id: aws.String("e"), Expression: aws.String("1+1")}
		},
	} {
		in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-time.Hour)), EndTime: &now,
			MetricDataQueries: []types.MetricDataQuery{sums("a", "Mine", "M")}}
		change(in)
		if _, err := c.GetMetricData(t.Context(), in); err == nil {
			t.Errorf("wrong %s was answered", name)
		}
	}
}
