package kinesis_test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

// written is what one writer put for its key, in order.
type written struct {
	key       string
	sequences []string
}

// TestReshardDuringTraffic: writers go on while shards are split and merged.
// For each key the sequence numbers must grow, and a reader that finishes
// parents before their children must see each key's records in order, whole.
func TestReshardDuringTraffic(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	_, client := serve(t, sandbox.Config{Unlimited: true, Transition: time.Millisecond})
	stream := aws.String("s")
	_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(2)})
	must(t, err)
	awaitActive(t, client, stream)

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	writers := make([]written, 8)
	for i := range writers {
		writers[i].key = fmt.Sprintf("key-%d-%d", seed, i)
		wg.Go(func() { write(t, ctx, client, stream, &writers[i]) })
	}
	for range 25 {
		time.Sleep(2 * time.Millisecond) // some records between two
		reshard(t, client, stream, r)
	}
	stop()
	wg.Wait()

	read := readAll(t, client, stream)
	for _, w := range writers {
		if !slices.IsSorted(w.sequences) || len(w.sequences) == 0 {
			t.Errorf("key %s: sequence numbers do not grow (seed %d)", w.key, seed)
		}
		if got := read[w.key]; !slices.Equal(got, numbers(len(w.sequences))) {
			t.Errorf("key %s: put %d records, read %v (seed %d)", w.key, len(w.sequences), got, seed)
		}
	}
}

func numbers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strconv.Itoa(i)
	}
	return out
}

// write puts 0, 1, 2, ... for one key until it is told to stop.
func write(t *testing.T, ctx context.Context, client *kinesis.Client, stream *string, w *written) {
	for i := 0; ctx.Err() == nil; i++ {
		out, err := client.PutRecord(context.WithoutCancel(ctx), &kinesis.PutRecordInput{StreamName: stream, PartitionKey: &w.key, Data: []byte(strconv.Itoa(i))})
		if err != nil {
			t.Error(err)
			return
		}
		w.sequences = append(w.sequences, *out.SequenceNumber)
	}
}

// reshard splits or merges somewhere; that the stream is busy is no error.
func reshard(t *testing.T, client *kinesis.Client, stream *string, r *rand.Rand) {
	t.Helper()
	out, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: stream, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
	must(t, err)
	slices.SortFunc(out.Shards, func(a, b types.Shard) int {
		return bigOf(*a.HashKeyRange.StartingHashKey).Cmp(bigOf(*b.HashKeyRange.StartingHashKey))
	})
	if i := r.IntN(len(out.Shards)); i > 0 && r.IntN(2) == 0 {
		_, err = client.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: stream, ShardToMerge: out.Shards[i].ShardId,
			AdjacentShardToMerge: out.Shards[i-1].ShardId})
	} else {
		sh := out.Shards[i].HashKeyRange
		middle := new(big.Int).Add(bigOf(*sh.StartingHashKey), bigOf(*sh.EndingHashKey))
		_, err = client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: out.Shards[i].ShardId,
			NewStartingHashKey: aws.String(middle.Rsh(middle, 1).String())})
	}
	if err != nil && !isInUse(err) {
		t.Error(err)
	}
}

func bigOf(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 10)
	return n
}

// readAll reads all shards, parents before children, and returns the data per
// key in the order read.
func readAll(t *testing.T, client *kinesis.Client, stream *string) map[string][]string {
	t.Helper()
	out, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: stream})
	must(t, err)
	read, done := map[string][]string{}, map[string]bool{}
	for len(done) < len(out.Shards) {
		before := len(done)
		for _, sh := range out.Shards {
			ready := !done[*sh.ShardId] && (sh.ParentShardId == nil || done[*sh.ParentShardId]) && (sh.AdjacentParentShardId == nil || done[*sh.AdjacentParentShardId])
			if ready {
				readShard(t, client, stream, sh, read)
				done[*sh.ShardId] = true
			}
		}
		if len(done) == before {
			t.Fatal("the shards' parents form a circle")
		}
	}
	return read
}

func readShard(t *testing.T, client *kinesis.Client, stream *string, sh types.Shard, read map[string][]string) {
	t.Helper()
	it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: sh.ShardId,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	must(t, err)
	for next := it.ShardIterator; next != nil; {
		out, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(50)})
		must(t, err)
		for _, r := range out.Records {
			read[*r.PartitionKey] = append(read[*r.PartitionKey], string(r.Data))
		}
		if len(out.Records) == 0 && sh.SequenceNumberRange.EndingSequenceNumber == nil {
			return // the tip of an open shard
		}
		next = out.NextShardIterator
	}
}
