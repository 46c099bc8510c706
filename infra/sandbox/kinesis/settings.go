package kinesis

import (
	"context"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

type retentionInput struct {
	streamRef
	RetentionPeriodHours int
}

func (in *retentionInput) period() time.Duration {
	return time.Duration(in.RetentionPeriodHours) * time.Hour
}

func (s *Server) increaseRetention(_ context.Context, in *retentionInput) (*struct{}, error) {
	return nil, s.setRetention(in, func(current time.Duration) bool { return in.period() >= current }, "less")
}

func (s *Server) decreaseRetention(_ context.Context, in *retentionInput) (*struct{}, error) {
	return nil, s.setRetention(in, func(current time.Duration) bool { return in.period() <= current }, "more")
}

func (s *Server) setRetention(in *retentionInput, right func(current time.Duration) bool, wrong string) error {
	if h := in.RetentionPeriodHours; h < int(minRetention/time.Hour) || h > int(maxRetention/time.Hour) {
		return awsjson.Errorf("InvalidArgumentException", "RetentionPeriodHours %d must be between 24 and 8760", h)
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return err
	}
	defer st.mu.Unlock()
	if !right(st.retention) {
		return awsjson.Errorf("InvalidArgumentException", "Requested retention period (%d hours) for stream %s can not be %s than the existing one (%d hours).",
			in.RetentionPeriodHours, st.name, wrong, int(st.retention/time.Hour))
	}
	s.beginReshard(st, func(uint64) { st.retention = in.period() })
	return nil
}

type updateMaxRecordSizeInput struct {
	streamRef
	MaxRecordSizeInKiB *int
}

func (s *Server) updateMaxRecordSize(_ context.Context, in *updateMaxRecordSizeInput) (*struct{}, error) {
	if in.MaxRecordSizeInKiB == nil {
		return nil, awsjson.Errorf("ValidationException", "MaxRecordSizeInKiB must be given")
	}
	if err := validateRecordSize(in.MaxRecordSizeInKiB); err != nil {
		return nil, err
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	s.beginReshard(st, func(uint64) { st.maxRecord = *in.MaxRecordSizeInKiB << 10 })
	return nil, nil
}
