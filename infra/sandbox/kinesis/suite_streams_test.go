package kinesis_test

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func (s suite) streamLifecycle(t *testing.T) {
	ctx, name := t.Context(), s.stream(t, 2)
	out, err := s.client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: &name})
	sandboxtest.Must(t, err)
	d := out.StreamDescription
	if *d.StreamName != name || len(d.Shards) != 2 || *d.RetentionPeriodHours != 24 || *d.HasMoreShards {
		t.Errorf("description %+v", d)
	}
	if age := time.Since(*d.StreamCreationTimestamp); age < -time.Minute || age > time.Minute {
		t.Errorf("created %s ago", age)
	}
	_, err = s.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)})
	sandboxtest.WantError[*types.ResourceInUseException](t, err, "create it again")
	_, err = s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name})
	sandboxtest.Must(t, err)
	s.awaitGone(t, name)
}

func (s suite) awaitGone(t *testing.T, name string) {
	t.Helper()
	for range 1000 {
		_, err := s.client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if sandboxtest.Is[*types.ResourceNotFoundException](err) {
			return
		}
		sandboxtest.Must(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("stream %s is still there", name)
}

func (s suite) unknownStream(t *testing.T) {
	ctx, name := t.Context(), aws.String("unknown-"+uuid.NewString())
	_, err := s.client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "DescribeStream")
	_, err = s.client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: name, Data: []byte("x")})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "PutRecord")
	_, err = s.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries("k", []string{"x"})})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "PutRecords")
	_, err = s.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: name})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "ListShards")
	_, err = s.client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "DeleteStream")
}

func (s suite) listStreams(t *testing.T) {
	a, b := s.stream(t, 1), s.stream(t, 1)
	var got []string
	var after *string
	for {
		out, err := s.client.ListStreams(t.Context(), &kinesis.ListStreamsInput{Limit: aws.Int32(1), ExclusiveStartStreamName: after})
		sandboxtest.Must(t, err)
		got = append(got, out.StreamNames...)
		if !*out.HasMoreStreams {
			break
		}
		after = &got[len(got)-1]
	}
	if !slices.Contains(got, a) || !slices.Contains(got, b) || !slices.IsSorted(got) {
		t.Errorf("streams %q, want %s and %s among them, sorted", got, a, b)
	}
}

var maxHashKey = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))

func number(t *testing.T, s *string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(aws.ToString(s), 10)
	if !ok {
		t.Fatalf("%q is not a number", aws.ToString(s))
	}
	return n
}

// wantWholeSpace checks that shards cover the hash space without gap or
// overlap.
func wantWholeSpace(t *testing.T, shards []types.Shard) {
	t.Helper()
	shards = slices.Clone(shards)
	slices.SortFunc(shards, func(a, b types.Shard) int {
		return number(t, a.HashKeyRange.StartingHashKey).Cmp(number(t, b.HashKeyRange.StartingHashKey))
	})
	next := new(big.Int)
	for _, sh := range shards {
		if first := number(t, sh.HashKeyRange.StartingHashKey); first.Cmp(next) != 0 {
			t.Errorf("shard %s begins at %s, want %s", *sh.ShardId, first, next)
		}
		next = new(big.Int).Add(number(t, sh.HashKeyRange.EndingHashKey), big.NewInt(1))
	}
	if last := new(big.Int).Sub(next, big.NewInt(1)); last.Cmp(maxHashKey) != 0 {
		t.Errorf("the last shard ends at %s, want %s", last, maxHashKey)
	}
}

func (s suite) shardsCoverTheHashSpace(t *testing.T) {
	for _, n := range []int32{1, 3, 4} {
		shards := s.openShards(t, s.stream(t, n))
		if len(shards) != int(n) {
			t.Errorf("%d shards, want %d", len(shards), n)
		}
		wantWholeSpace(t, shards)
	}
}

func (s suite) listShardsInPages(t *testing.T) {
	name := s.stream(t, 5)
	in := &kinesis.ListShardsInput{StreamName: &name, MaxResults: aws.Int32(2)}
	var sizes []int
	var ids []string
	for {
		out, err := s.client.ListShards(t.Context(), in)
		sandboxtest.Must(t, err)
		sizes = append(sizes, len(out.Shards))
		for _, sh := range out.Shards {
			ids = append(ids, *sh.ShardId)
		}
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(2)}
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 5 {
		t.Errorf("pages of %v with %q", sizes, ids)
	}
	out, err := s.client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &name, ExclusiveStartShardId: &ids[2]})
	sandboxtest.Must(t, err)
	if len(out.Shards) != 2 || *out.Shards[0].ShardId != ids[3] {
		t.Errorf("after the third: %d shards", len(out.Shards))
	}
}

func (s suite) byARN(t *testing.T) {
	ctx, name := t.Context(), s.stream(t, 1)
	arn := s.awaitActive(t, name).StreamARN
	_, err := s.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamARN: arn, Records: entries("k", []string{"x"})})
	sandboxtest.Must(t, err)
	shards, err := s.client.ListShards(ctx, &kinesis.ListShardsInput{StreamARN: arn})
	sandboxtest.Must(t, err)
	it, err := s.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamARN: arn, ShardId: shards.Shards[0].ShardId,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	sandboxtest.Must(t, err)
	out, err := s.client.GetRecords(ctx, &kinesis.GetRecordsInput{StreamARN: arn, ShardIterator: it.ShardIterator})
	sandboxtest.Must(t, err)
	wantTexts(t, out.Records, "x")
}

func (s suite) onDemand(t *testing.T) {
	name := "conformance-" + uuid.NewString()
	mode := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	_, err := s.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, StreamModeDetails: mode})
	sandboxtest.Must(t, err)
	s.deleteAfter(t, name)
	summary := s.awaitActive(t, name)
	if summary.StreamModeDetails.StreamMode != types.StreamModeOnDemand || *summary.OpenShardCount != 4 {
		t.Errorf("an on-demand stream is %+v", summary)
	}
}

func (s suite) shardCountIsRequired(t *testing.T) {
	name := "conformance-" + uuid.NewString()
	_, err := s.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name})
	if err == nil {
		s.deleteAfter(t, name)
	}
	wantRefused(t, err, "provisioned without a shard count")
}
