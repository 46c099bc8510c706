package kinesis

import (
	"context"
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// shardLevelMetrics are those of "Monitoring with CloudWatch", and ALL.
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

// names returns what is asked for, with ALL spelled out.
func (in *monitoringInput) names() ([]string, error) {
	var out []string
	for _, name := range in.ShardLevelMetrics {
		switch {
		case name == "ALL":
			return shardLevelMetrics, nil
		case !slices.Contains(shardLevelMetrics, name):
			return nil, awsjson.Errorf("InvalidArgumentException", "%q is no shard-level metric: use %v or ALL", name, shardLevelMetrics)
		}
		out = append(out, name)
	}
	if len(out) == 0 {
		return nil, awsjson.Errorf("InvalidArgumentException", "ShardLevelMetrics must name a metric")
	}
	return out, nil
}

// enableMonitoring notes which metrics of shards are wanted; none are made here.
func (s *Server) enableMonitoring(_ context.Context, in *monitoringInput) (*monitoringOutput, error) {
	names, err := in.names()
	if err != nil {
		return nil, err
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	out := &monitoringOutput{StreamName: st.name, StreamARN: st.arn, CurrentShardLevelMetrics: st.monitored}
	wanted := slices.Concat(st.monitored, names)
	slices.Sort(wanted)
	st.monitored = slices.Compact(wanted)
	out.DesiredShardLevelMetrics = st.monitored
	return out, nil
}
