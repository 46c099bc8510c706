package kinesis

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

type describeStreamInput struct {
	streamRef
	ExclusiveStartShardId string
	Limit                 *int
}

// streamDescription holds what both descriptions of a stream have.
type streamDescription struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       streamMode
	StreamCreationTimestamp *awsjson.Time
	RetentionPeriodHours    int
	EncryptionType          string
	EnhancedMonitoring      []struct{ ShardLevelMetrics []string }
}

func (st *stream) describe() streamDescription {
	return streamDescription{
		StreamName: st.name, StreamARN: st.arn, StreamStatus: st.status,
		StreamModeDetails:       streamMode{st.mode},
		StreamCreationTimestamp: awsjson.At(st.created),
		RetentionPeriodHours:    int(retention / time.Hour),
		EncryptionType:          "NONE",
		EnhancedMonitoring:      []struct{ ShardLevelMetrics []string }{{append([]string{}, st.monitored...)}},
	}
}

type describeStreamOutput struct {
	StreamDescription struct {
		streamDescription
		Shards        []shardOutput
		HasMoreShards bool
	}
}

func (s *Server) describeStream(_ context.Context, in *describeStreamInput) (*describeStreamOutput, error) {
	limit, err := limitOf("Limit", in.Limit, 100, 10_000)
	if err != nil {
		return nil, err
	}
	after, err := optionalShardNumber(in.ExclusiveStartShardId)
	if err != nil {
		return nil, err
	}
	st, err := s.locked(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	out := &describeStreamOutput{}
	out.StreamDescription.streamDescription = st.describe()
	out.StreamDescription.Shards, out.StreamDescription.HasMoreShards = page(st.shards, after, limit)
	return out, nil
}

type summaryOutput struct {
	StreamDescriptionSummary struct {
		streamDescription
		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
	}
}

func (s *Server) describeStreamSummary(_ context.Context, in *streamRef) (*summaryOutput, error) {
	st, err := s.locked(*in)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	out := &summaryOutput{}
	summary := &out.StreamDescriptionSummary
	summary.streamDescription = st.describe()
	summary.OpenShardCount = len(st.open)
	summary.MaxRecordSizeInKiB = maxRecordBytes >> 10
	return out, nil
}
