package kinesis_test

import (
	"crypto/md5"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

func (s suite) putAndGetInOrder(t *testing.T) {
	name, want := s.stream(t, 1), numbered("r", 50)
	out, err := s.client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", want)})
	sandboxtest.Must(t, err)
	if *out.FailedRecordCount != 0 || len(out.Records) != len(want) {
		t.Fatalf("%d of %d failed", *out.FailedRecordCount, len(out.Records))
	}
	records, last := s.readShard(t, name, *out.Records[0].ShardId, len(want))
	wantTexts(t, records, want...)
	if last.NextShardIterator == nil || *last.MillisBehindLatest != 0 {
		t.Errorf("at the tip of an open shard: next %v, behind %d ms", last.NextShardIterator, *last.MillisBehindLatest)
	}
	before := ""
	for i, r := range records {
		if *r.SequenceNumber != *out.Records[i].SequenceNumber || *r.PartitionKey != "k" {
			t.Errorf("record %d read as %s of %s, put as %s", i, *r.SequenceNumber, *r.PartitionKey, *out.Records[i].SequenceNumber)
		}
		if len(*r.SequenceNumber) != 56 || *r.SequenceNumber <= before {
			t.Errorf("sequence number %s after %s", *r.SequenceNumber, before)
		}
		if age := time.Since(*r.ApproximateArrivalTimestamp); age < -time.Minute || age > time.Minute {
			t.Errorf("record %d arrived %s ago", i, age)
		}
		before = *r.SequenceNumber
	}
}

// shardOf finds the shard whose range holds a hash key.
func shardOf(t *testing.T, shards []types.Shard, hash *big.Int) string {
	t.Helper()
	for _, sh := range shards {
		if number(t, sh.HashKeyRange.StartingHashKey).Cmp(hash) <= 0 && number(t, sh.HashKeyRange.EndingHashKey).Cmp(hash) >= 0 {
			return *sh.ShardId
		}
	}
	t.Fatalf("no shard holds %s", hash)
	return ""
}

func (s suite) keysAreRoutedByMD5(t *testing.T) {
	name := s.stream(t, 4)
	shards := s.openShards(t, name)
	for _, key := range append(numbered("user-", 20), "é", "日本", strings.Repeat("ü", 256)) {
		sum := md5.Sum([]byte(key))
		want := shardOf(t, shards, new(big.Int).SetBytes(sum[:]))
		if got := *s.put(t, name, key, key).ShardId; got != want {
			t.Errorf("key %q went to %s, want %s", key, got, want)
		}
	}
}

func (s suite) putAt(t *testing.T, name, hash string) (*kinesis.PutRecordOutput, error) {
	t.Helper()
	return s.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("k"), ExplicitHashKey: &hash, Data: []byte(hash)})
}

func (s suite) explicitHashKey(t *testing.T) {
	name := s.stream(t, 3)
	for _, sh := range s.openShards(t, name) {
		for _, border := range []string{*sh.HashKeyRange.StartingHashKey, *sh.HashKeyRange.EndingHashKey} {
			out, err := s.putAt(t, name, border)
			sandboxtest.Must(t, err)
			if *out.ShardId != *sh.ShardId {
				t.Errorf("hash key %s went to %s, want %s", border, *out.ShardId, *sh.ShardId)
			}
		}
	}
	_, err := s.putAt(t, name, "340282366920938463463374607431768211456")
	wantRefused(t, err, "the hash key 2^128")
}

func (s suite) malformedHashKey(t *testing.T) {
	name := s.stream(t, 1)
	for _, bad := range []string{"-1", "0x10", "ten"} {
		_, err := s.putAt(t, name, bad)
		wantRefused(t, err, "hash key "+bad)
	}
}

func (s suite) iteratorTypes(t *testing.T) {
	name := s.stream(t, 1)
	a := s.put(t, name, "k", "a")
	time.Sleep(20 * time.Millisecond) // so that times differ
	b := s.put(t, name, "k", "b")
	latest := s.iterator(t, name, kinesis.GetShardIteratorInput{ShardId: a.ShardId, ShardIteratorType: types.ShardIteratorTypeLatest})
	s.put(t, name, "k", "c")

	from := func(kind types.ShardIteratorType, sequence *string) *string {
		return s.iterator(t, name, kinesis.GetShardIteratorInput{ShardId: a.ShardId, ShardIteratorType: kind, StartingSequenceNumber: sequence})
	}
	check := func(iterator *string, want ...string) {
		t.Helper()
		records, _ := s.read(t, iterator, len(want))
		wantTexts(t, records, want...)
	}
	check(from(types.ShardIteratorTypeTrimHorizon, nil), "a", "b", "c")
	check(from(types.ShardIteratorTypeAtSequenceNumber, b.SequenceNumber), "b", "c")
	check(from(types.ShardIteratorTypeAfterSequenceNumber, b.SequenceNumber), "c")
	check(latest, "c")

	all, _ := s.read(t, from(types.ShardIteratorTypeTrimHorizon, nil), 3)
	at := func(when time.Time) *string {
		return s.iterator(t, name, kinesis.GetShardIteratorInput{ShardId: a.ShardId, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &when})
	}
	check(at(*all[1].ApproximateArrivalTimestamp), "b", "c")
	check(at(time.Now().Add(-time.Hour)), "a", "b", "c")

	start := s.shards(t, name, nil)[0].SequenceNumberRange.StartingSequenceNumber
	check(from(types.ShardIteratorTypeAtSequenceNumber, start), "a", "b", "c")
}

func (s suite) unknownShard(t *testing.T) {
	name := s.stream(t, 1)
	_, err := s.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &name,
		ShardId: aws.String("shardId-000000000077"), ShardIteratorType: types.ShardIteratorTypeLatest})
	sandboxtest.WantError[*types.ResourceNotFoundException](t, err, "an unknown shard")
}

func (s suite) unknownIterator(t *testing.T) {
	_, err := s.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA")})
	wantRefused(t, err, "an iterator nobody gave")
}

func (s suite) foreignSequenceNumber(t *testing.T) {
	name := s.stream(t, 1)
	_, err := s.client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: s.openShards(t, name)[0].ShardId,
		ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("12")})
	wantRefused(t, err, "a sequence number nobody gave")
}

func (s suite) getRecordsInPages(t *testing.T) {
	name, want := s.stream(t, 1), numbered("r", 7)
	out, err := s.client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &name, Records: entries("k", want)})
	sandboxtest.Must(t, err)
	it := s.iterator(t, name, kinesis.GetShardIteratorInput{ShardId: out.Records[0].ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	var got []types.Record
	for _, size := range []int{3, 3, 1, 0} {
		page, err := s.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(3)})
		sandboxtest.Must(t, err)
		if len(page.Records) != size || page.NextShardIterator == nil {
			t.Fatalf("page of %d records, want %d; next %v", len(page.Records), size, page.NextShardIterator)
		}
		got, it = append(got, page.Records...), page.NextShardIterator
	}
	wantTexts(t, got, want...)
	_, err = s.client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(10_001)})
	wantRefused(t, err, "a limit of 10,001")
}

func (s suite) puts(t *testing.T, records []types.PutRecordsRequestEntry) error {
	t.Helper()
	name := s.stream(t, 1)
	_, err := s.client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &name, Records: records})
	return err
}

func (s suite) keyLimits(t *testing.T) {
	sandboxtest.Must(t, s.puts(t, entries(strings.Repeat("ü", 256), []string{"x"})))
	wantRefused(t, s.puts(t, entries(strings.Repeat("ü", 257), []string{"x"})), "a key of 257 characters")
	wantRefused(t, s.puts(t, entries("", []string{"x"})), "an empty key")
}

func (s suite) callOf500Records(t *testing.T) {
	sandboxtest.Must(t, s.puts(t, entries("k", numbered("r", 500))))
}

func (s suite) callOf501Records(t *testing.T) {
	wantRefused(t, s.puts(t, entries("k", numbered("r", 501))), "501 records")
}

func (s suite) callOver10MiB(t *testing.T) {
	megabytes := slices.Repeat([]string{strings.Repeat("x", 1<<20-1)}, 10)
	wantRefused(t, s.puts(t, entries("k", append(megabytes, ""))), "10 MiB and one byte")
}

func (s suite) recordLimit(t *testing.T) {
	name := s.stream(t, 1)
	put := func(n int) error {
		_, err := s.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &name, PartitionKey: aws.String("key"), Data: make([]byte, n)})
		return err
	}
	sandboxtest.Must(t, put(1<<20-3))
	wantRefused(t, put(1<<20+1), "more than 1 MiB of data")
}

func (s suite) recordLimitCountsTheKey(t *testing.T) {
	wantRefused(t, s.puts(t, entries("key", []string{strings.Repeat("x", 1<<20-2)})), "more than 1 MiB with the key")
}
