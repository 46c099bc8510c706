package kinesis_test

import (
	"math/big"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// middle is where a shard is halved.
func middle(t *testing.T, sh types.Shard) *string {
	t.Helper()
	sum := new(big.Int).Add(number(t, sh.HashKeyRange.StartingHashKey), number(t, sh.HashKeyRange.EndingHashKey))
	return aws.String(sum.Rsh(sum, 1).String())
}

func (s suite) halve(t *testing.T, name string, sh types.Shard) {
	t.Helper()
	_, err := s.client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: sh.ShardId, NewStartingHashKey: middle(t, sh)})
	sandboxtest.Must(t, err)
	s.awaitActive(t, name)
}

func (s suite) split(t *testing.T) {
	name := s.stream(t, 1)
	parent := s.openShards(t, name)[0]
	before := s.put(t, name, "k", "before")
	s.halve(t, name, parent)
	after := s.put(t, name, "k", "after")

	if *after.SequenceNumber <= *before.SequenceNumber || len(*after.SequenceNumber) != len(*before.SequenceNumber) {
		t.Errorf("sequence numbers %s, then %s on the child", *before.SequenceNumber, *after.SequenceNumber)
	}
	open := s.openShards(t, name)
	wantWholeSpace(t, open)
	for _, child := range open {
		if aws.ToString(child.ParentShardId) != *parent.ShardId || child.AdjacentParentShardId != nil {
			t.Errorf("child %+v of %s", child, *parent.ShardId)
		}
	}
	closed := s.shards(t, name, nil)[0]
	if closed.SequenceNumberRange.EndingSequenceNumber == nil || *closed.SequenceNumberRange.EndingSequenceNumber < *before.SequenceNumber {
		t.Errorf("the parent ends at %v, after %s", aws.ToString(closed.SequenceNumberRange.EndingSequenceNumber), *before.SequenceNumber)
	}
	records, last := s.readToEnd(t, name, *parent.ShardId)
	wantTexts(t, records, "before")
	s.wantChildren(t, last, open)
	records, _ = s.readShard(t, name, *after.ShardId, 1)
	wantTexts(t, records, "after")

	_, err := s.client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: parent.ShardId, NewStartingHashKey: middle(t, parent)})
	if err == nil {
		t.Error("a closed shard was split again")
	}
	_, err = s.client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: open[1].ShardId,
		NewStartingHashKey: open[0].HashKeyRange.StartingHashKey})
	wantRefused(t, err, "a split outside of the shard")
}

// readToEnd reads a closed shard to its end.
func (s suite) readToEnd(t *testing.T, name, shard string) ([]types.Record, *kinesis.GetRecordsOutput) {
	t.Helper()
	records, last := s.readShard(t, name, shard, 1<<30)
	if last.NextShardIterator != nil {
		t.Error("a closed shard, read to its end, has a next iterator")
	}
	return records, last
}

func (s suite) wantChildren(t *testing.T, last *kinesis.GetRecordsOutput, want []types.Shard) {
	t.Helper()
	var got, ids []string
	for _, c := range last.ChildShards {
		got = append(got, *c.ShardId)
	}
	for _, sh := range want {
		ids = append(ids, *sh.ShardId)
	}
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		t.Errorf("child shards %q at the end, want %q", got, ids)
	}
}

func (s suite) merge(t *testing.T) {
	name := s.stream(t, 3)
	shards := s.openShards(t, name)
	_, err := s.client.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: shards[0].ShardId,
		AdjacentShardToMerge: shards[2].ShardId})
	wantRefused(t, err, "shards that are not adjacent")
	_, err = s.client.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &name, ShardToMerge: shards[0].ShardId,
		AdjacentShardToMerge: shards[1].ShardId})
	sandboxtest.Must(t, err)
	s.awaitActive(t, name)
	open := s.openShards(t, name)
	wantWholeSpace(t, open)
	child := open[len(open)-1]
	if len(open) != 2 || aws.ToString(child.ParentShardId) != *shards[0].ShardId || aws.ToString(child.AdjacentParentShardId) != *shards[1].ShardId {
		t.Errorf("after the merge: %+v", open)
	}
	for _, parent := range shards[:2] {
		_, last := s.readToEnd(t, name, *parent.ShardId)
		s.wantChildren(t, last, []types.Shard{child})
	}
}

func (s suite) updateShardCount(t *testing.T) {
	name := s.stream(t, 2)
	keys := numbered("user-", 30)
	last := map[string]string{}
	for _, target := range []int32{4, 3, 2} {
		_, err := s.client.UpdateShardCount(t.Context(),
			&kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: &target, ScalingType: types.ScalingTypeUniformScaling})
		sandboxtest.Must(t, err)
		s.awaitActive(t, name)
		open := s.openShards(t, name)
		if len(open) != int(target) {
			t.Fatalf("%d open shards, want %d", len(open), target)
		}
		wantWholeSpace(t, open)
		for _, key := range keys {
			out := s.put(t, name, key, "x")
			if *out.SequenceNumber <= last[key] {
				t.Errorf("key %s: %s after %s", key, *out.SequenceNumber, last[key])
			}
			last[key] = *out.SequenceNumber
		}
	}
	_, err := s.client.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: &name, TargetShardCount: aws.Int32(5),
		ScalingType: types.ScalingTypeUniformScaling},
		func(o *kinesis.Options) { o.RetryMaxAttempts = 1 }) // the client would take it for throttling
	wantRefused(t, err, "more than double")
}
