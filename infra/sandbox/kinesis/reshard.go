package kinesis

import (
	"context"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

type splitShardInput struct {
	streamRef
	ShardToSplit       string
	NewStartingHashKey string
}

func (s *Server) splitShard(_ context.Context, in *splitShardInput) (*struct{}, error) {
	number, err := shardNumber(in.ShardToSplit)
	if err != nil {
		return nil, err
	}
	if open, _ := s.countShards(); open+1 > shardLimit {
		return nil, s.shardLimitExceeded(open, 1)
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	sh, err := st.openShardNumbered(number)
	if err != nil {
		return nil, err
	}
	at, ok := parseHashKey(in.NewStartingHashKey)
	if !ok || at.compare(sh.first) <= 0 || at.compare(sh.last) >= 0 {
		return nil, awsjson.Errorf("InvalidArgumentException",
			"NewStartingHashKey %s used in SplitShard() on shard %s in stream %s is not between the shard's StartingHashKey %s and its EndingHashKey %s.",
			in.NewStartingHashKey, in.ShardToSplit, st.name, sh.first, sh.last)
	}
	s.beginReshard(st, func(clock uint64) { st.split(sh, at, clock) })
	return nil, nil
}

func (st *stream) openShardNumbered(number int) (*shard, error) {
	sh := st.shard(number)
	if sh == nil {
		return nil, awsjson.Errorf("ResourceNotFoundException", "Could not find shard %s in stream %s.", shardID(number), st.name)
	}
	if !sh.isOpen() {
		return nil, awsjson.Errorf("InvalidArgumentException", "Shard %s in stream %s is closed: it was split or merged before.", shardID(number), st.name)
	}
	return sh, nil
}

// beginReshard goes through UPDATING; until its end the old shards serve.
func (s *Server) beginReshard(st *stream, apply func(clock uint64)) {
	st.begin(statusUpdating, s.cfg.Now(), s.cfg.Transition, func(now time.Time) { apply(st.tick(now)) })
}

// split closes a shard and opens its two children, the second from at on.
// The parent ends at clock, its children begin at the tick after it.
func (st *stream) split(sh *shard, at hashKey, clock uint64) {
	i := slices.Index(st.open, sh)
	sh.closed = clock
	st.clock = max(st.clock, clock+1)
	low := st.openShard(sh.first, at.previous(), clock+1, &sh.number, nil)
	high := st.openShard(at, sh.last, clock+1, &sh.number, nil)
	st.open = slices.Replace(st.open, i, i+1, low, high)
}

// merge closes two neighbours and opens their child.
func (st *stream) merge(low, high *shard, parent, adjacent *shard, clock uint64) {
	i := slices.Index(st.open, low)
	low.closed, high.closed = clock, clock
	st.clock = max(st.clock, clock+1)
	child := st.openShard(low.first, high.last, clock+1, &parent.number, &adjacent.number)
	st.open = slices.Replace(st.open, i, i+2, child)
}

type mergeShardsInput struct {
	streamRef
	ShardToMerge         string
	AdjacentShardToMerge string
}

func (s *Server) mergeShards(_ context.Context, in *mergeShardsInput) (*struct{}, error) {
	first, err := shardNumber(in.ShardToMerge)
	if err != nil {
		return nil, err
	}
	second, err := shardNumber(in.AdjacentShardToMerge)
	if err != nil {
		return nil, err
	}
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	parent, err := st.openShardNumbered(first)
	if err != nil {
		return nil, err
	}
	adjacent, err := st.openShardNumbered(second)
	if err != nil {
		return nil, err
	}
	low, high := parent, adjacent
	if low.first.compare(high.first) > 0 {
		low, high = high, low
	}
	if low == high || low.last.next() != high.first {
		return nil, awsjson.Errorf("InvalidArgumentException", "Shards %s and %s in stream %s are not adjacent.", in.ShardToMerge, in.AdjacentShardToMerge, st.name)
	}
	s.beginReshard(st, func(clock uint64) { st.merge(low, high, parent, adjacent, clock) })
	return nil, nil
}

const scalingsPerDay = 10

type updateShardCountInput struct {
	streamRef
	TargetShardCount int
	ScalingType      string
}

type updateShardCountOutput struct {
	StreamName        string
	StreamARN         string
	CurrentShardCount int
	TargetShardCount  int
}

func (s *Server) updateShardCount(_ context.Context, in *updateShardCountInput) (*updateShardCountOutput, error) {
	if in.ScalingType != "UNIFORM_SCALING" {
		return nil, awsjson.Errorf("ValidationException", "ScalingType %q must be UNIFORM_SCALING", in.ScalingType)
	}
	allOpen, _ := s.countShards()
	st, err := s.lockedForChange(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	now, current := s.cfg.Now(), len(st.open)
	if err := in.validate(st); err != nil {
		return nil, err
	}
	if more := in.TargetShardCount - current; allOpen+more > shardLimit {
		return nil, s.shardLimitExceeded(allOpen, more)
	}
	if err := s.countScaling(st, now); err != nil {
		return nil, err
	}
	s.beginReshard(st, func(clock uint64) { st.scale(in.TargetShardCount, clock) })
	return &updateShardCountOutput{st.name, st.arn, current, in.TargetShardCount}, nil
}

// validate keeps the documented bounds of one scaling.
func (in *updateShardCountInput) validate(st *stream) error {
	current, target := len(st.open), in.TargetShardCount
	switch {
	case st.mode == modeOnDemand:
		return awsjson.Errorf("ValidationException", "Stream %s is ON_DEMAND: its shards cannot be counted by hand", st.name)
	case target < 1:
		return awsjson.Errorf("ValidationException", "TargetShardCount %d must be at least 1", target)
	case target > 2*current:
		return awsjson.Errorf("LimitExceededException", "UpdateShardCount cannot scale up over double your current open shard count. Current "+
			"open shard count: %d. Target: %d.", current, target)
	case 2*target < current:
		return awsjson.Errorf("LimitExceededException", "UpdateShardCount cannot scale down below half your current open shard count. "+
			"Current open shard count: %d. Target: %d.", current, target)
	case target == current:
		return awsjson.Errorf("InvalidArgumentException", "Stream %s already has %d open shards.", st.name, target)
	}
	return nil
}

func (s *Server) countScaling(st *stream, now time.Time) error {
	if s.cfg.Unlimited {
		return nil
	}
	st.scaled = slices.DeleteFunc(st.scaled, func(t time.Time) bool { return now.Sub(t) >= 24*time.Hour })
	if len(st.scaled) >= scalingsPerDay {
		return awsjson.Errorf("LimitExceededException", "Stream %s was scaled %d times in the last 24 hours.", st.name, scalingsPerDay)
	}
	st.scaled = append(st.scaled, now)
	return nil
}

// scale cuts the hash space into n even ranges by splits at the wanted borders
// and then merges over the unwanted ones. Shards in between live for a tick.
func (st *stream) scale(n int, clock uint64) {
	starts := evenStarts(n)
	for _, border := range starts {
		if sh := st.route(border); sh.first != border {
			st.split(sh, border, clock)
			clock = st.tick(time.Unix(0, 0))
		}
	}
	for i := 1; i < len(st.open); {
		if _, wanted := slices.BinarySearchFunc(starts, st.open[i].first, hashKey.compare); wanted {
			i++
			continue
		}
		st.merge(st.open[i-1], st.open[i], st.open[i-1], st.open[i], clock)
		clock = st.tick(time.Unix(0, 0))
	}
}
