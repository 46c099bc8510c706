package kinesis

import (
	"context"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

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
