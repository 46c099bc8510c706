package kinesis

import (
	"context"
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// shardLevelMetrics are those of "Monitoring with CloudWatch", which ALL stands for.
var shardLevelMetrics = []string{
	"IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords",
	"WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
}

type monitoringInput struct {
	streamRef
	ShardLevelMetrics []string
}

type monitoringOutput struct {
	StreamName, StreamARN    string
	CurrentShardLevelMetrics []string
	DesiredShardLevelMetrics []string
}

// enableMonitoring notes which metrics of shards are wanted; none are made here.
func (s *Server) enableMonitoring(_ context.Context, in *monitoringInput) (*monitoringOutput, error) {
	if !slices.Equal(in.ShardLevelMetrics, []string{"ALL"}) {
		return nil, awsjson.NotImplemented("ShardLevelMetrics other than ALL")
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	before := st.monitored
	st.monitored = shardLevelMetrics
	return &monitoringOutput{st.name, st.arn, before, st.monitored}, nil
}
