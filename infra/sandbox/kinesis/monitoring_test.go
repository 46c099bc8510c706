package kinesis_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

func TestEnhancedMonitoring(t *testing.T) {
	client := newWorld(t, sandbox.Config{}, 1).client
	name := aws.String("s")
	on, err := client.EnableEnhancedMonitoring(t.Context(),
		&kinesis.EnableEnhancedMonitoringInput{StreamName: name, ShardLevelMetrics: []types.MetricsName{types.MetricsNameAll}})
	if err != nil || len(on.CurrentShardLevelMetrics) != 0 || len(on.DesiredShardLevelMetrics) != 7 {
		t.Errorf("%+v, %v", on, err)
	}
	got, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: name})
	if err != nil || len(got.StreamDescriptionSummary.EnhancedMonitoring[0].ShardLevelMetrics) != 7 {
		t.Errorf("%+v, %v", got, err)
	}
}
