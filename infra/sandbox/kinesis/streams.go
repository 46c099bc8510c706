package kinesis

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const (
	maxRecordBytes  = 1 << 20
	retention       = 24 * time.Hour
	onDemandShards  = 4
	onDemandStreams = 50
	shardLimit      = 1000 // open ones of the account
)

var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

type streamMode struct{ StreamMode string }

type createStreamInput struct {
	StreamName                 string
	ShardCount                 *int
	StreamModeDetails          *streamMode
	MaxRecordSizeInKiB         *int
	Tags                       map[string]string
	RecordDistributionStrategy string
	WarmThroughputMiBps        *int
}

// Resource implements awsjson.Resourceful.
func (in createStreamInput) Resource() string { return in.StreamName }

func (in createStreamInput) mode() string {
	if in.StreamModeDetails == nil {
		return modeProvisioned
	}
	return in.StreamModeDetails.StreamMode
}

func (in createStreamInput) shards() int {
	if in.ShardCount != nil {
		return *in.ShardCount
	}
	return onDemandShards
}

func (in createStreamInput) validate() error {
	mode := in.mode()
	switch {
	case !streamName.MatchString(in.StreamName):
		return awsjson.Errorf("ValidationException", "StreamName %q must have 1 to 128 characters of a-zA-Z0-9_.-", in.StreamName)
	case mode != modeProvisioned && mode != modeOnDemand:
		return awsjson.Errorf("ValidationException", "StreamMode %q must be PROVISIONED or ON_DEMAND", mode)
	case mode == modeProvisioned && in.ShardCount == nil:
		return awsjson.Errorf("InvalidArgumentException", "ShardCount must be given for a PROVISIONED stream")
	case mode == modeOnDemand && in.ShardCount != nil:
		return awsjson.Errorf("InvalidArgumentException", "ShardCount must not be given for an ON_DEMAND stream")
	case in.shards() < 1:
		return awsjson.Errorf("ValidationException", "ShardCount %d must be at least 1", in.shards())
	case in.RecordDistributionStrategy == "AUTO":
		return awsjson.NotImplemented("RecordDistributionStrategy AUTO")
	case in.WarmThroughputMiBps != nil:
		return awsjson.NotImplemented("WarmThroughputMiBps")
	case len(in.Tags) > 0:
		return awsjson.NotImplemented("Tags of streams")
	case in.MaxRecordSizeInKiB != nil:
		return awsjson.NotImplemented("MaxRecordSizeInKiB")
	}
	return nil
}

func (s *Server) createStream(_ context.Context, in *createStreamInput) (*struct{}, error) {
	if err := in.validate(); err != nil {
		return nil, err
	}
	open, onDemand := s.countShards()
	if open+in.shards() > shardLimit {
		return nil, s.shardLimitExceeded(open, in.shards())
	}
	if in.mode() == modeOnDemand && onDemand >= onDemandStreams {
		return nil, awsjson.Errorf("LimitExceededException", "This account may have %d on-demand streams", onDemandStreams)
	}
	if st, err := s.locked(streamRef{StreamName: in.StreamName}); err == nil {
		st.mu.Unlock()
		return nil, s.exists(in.StreamName)
	}
	return nil, s.addStream(in)
}

func (s *Server) exists(name string) error {
	return awsjson.Errorf("ResourceInUseException", "Stream %s under account %s already exists.", name, s.cfg.Account)
}

func (s *Server) addStream(in *createStreamInput) error {
	now := s.cfg.Now()
	st := &stream{
		name: in.StreamName, arn: s.arn(in.StreamName), created: now, maxBytes: s.cfg.MaxStreamBytes,
		mode: in.mode(),
	}
	st.begin(statusCreating, now, s.cfg.Transition, func(now time.Time) { st.openAll(in.shards(), now) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.streams[in.StreamName]; old != nil && !old.isGone() {
		return s.exists(in.StreamName) // created by another call since we looked
	}
	s.streams[in.StreamName] = st
	return nil
}

// openAll opens the first shards of a new stream.
func (st *stream) openAll(n int, now time.Time) {
	starts := evenStarts(n)
	clock := st.tick(now)
	for i, first := range starts {
		last := maxHashKey
		if i+1 < n {
			last = starts[i+1].previous()
		}
		st.open = append(st.open, st.openShard(first, last, clock, nil, nil))
	}
}

type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

func (s *Server) deleteStream(_ context.Context, in *deleteStreamInput) (*struct{}, error) {
	st, err := s.locked(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	st.begin(statusDeleting, s.cfg.Now(), s.cfg.Transition, func(time.Time) {
		st.status, st.shards, st.open = statusGone, nil, nil
	})
	return nil, nil
}

// names lists the streams that exist, sorted, and forgets those that are gone.
func (s *Server) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.streams, func(_ string, st *stream) bool { return st.isGone() })
	return slices.Sorted(maps.Keys(s.streams))
}

type listStreamsInput struct {
	ExclusiveStartStreamName string
	NextToken                string
	Limit                    *int
}

type streamSummary struct {
	StreamARN               string
	StreamName              string
	StreamStatus            string
	StreamCreationTimestamp *awsjson.Time
	StreamModeDetails       streamMode
}

type listStreamsOutput struct {
	HasMoreStreams  bool
	StreamNames     []string
	StreamSummaries []streamSummary
	NextToken       string `json:",omitempty"`
}

func (s *Server) listStreams(_ context.Context, in *listStreamsInput) (*listStreamsOutput, error) {
	limit, err := limitOf("Limit", in.Limit, 100, 10_000)
	if err != nil {
		return nil, err
	}
	after := max(in.ExclusiveStartStreamName, in.NextToken)
	out := &listStreamsOutput{StreamNames: []string{}, StreamSummaries: []streamSummary{}}
	for _, st := range s.all() {
		summary := streamSummary{st.arn, st.name, st.status, awsjson.At(st.created), streamMode{st.mode}}
		st.mu.Unlock()
		switch {
		case summary.StreamName <= after:
		case len(out.StreamNames) == limit:
			out.HasMoreStreams, out.NextToken = true, out.StreamNames[limit-1]
			return out, nil
		default:
			out.StreamNames = append(out.StreamNames, summary.StreamName)
			out.StreamSummaries = append(out.StreamSummaries, summary)
		}
	}
	return out, nil
}

func limitOf(name string, given *int, byDefault, most int) (int, error) {
	if given == nil {
		return byDefault, nil
	}
	if *given < 1 || *given > most {
		return 0, awsjson.Errorf("ValidationException", "%s %d must be between 1 and %d", name, *given, most)
	}
	return *given, nil
}

func (s *Server) countShards() (open, onDemand int) {
	for _, st := range s.all() {
		open += len(st.open)
		if st.mode == modeOnDemand {
			onDemand++
		}
		st.mu.Unlock()
	}
	return open, onDemand
}

func (s *Server) shardLimitExceeded(open, more int) error {
	return awsjson.Errorf("LimitExceededException", "This request would exceed the shard limit for the account %s in %s. Current shard "+
		"count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d.",
		s.cfg.Account, s.cfg.Region, open, shardLimit, more)
}

func (st *stream) isGone() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.status == statusGone
}
