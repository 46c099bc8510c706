package dynamodb_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

func (s *suite) streamCases(t *testing.T) {
	for _, view := range []types.StreamViewType{types.StreamViewTypeKeysOnly, types.StreamViewTypeNewImage, types.StreamViewTypeOldImage,
		types.StreamViewTypeNewAndOldImages} {
		t.Run(string(view), func(t *testing.T) { s.streamOf(t, view) })
	}
	t.Run("can be read from a sequence number", s.streamPositions)
	t.Run("hear of transactions and batches", s.streamOfMany)
	t.Run("are turned on and off", s.turnedStreams)
	t.Run("are refused", s.badStreams)
}

func (s *suite) streamARN(t *testing.T, table string) *string {
	t.Helper()
	out, err := s.client.DescribeTable(contextOf(t), &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return out.Table.LatestStreamArn
}

// shards are the shards of a stream, parents first.
func (s *suite) shards(t *testing.T, arn *string) []streamtypes.Shard {
	t.Helper()
	out, err := s.streams.DescribeStream(contextOf(t), &dynamodbstreams.DescribeStreamInput{StreamArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	return out.StreamDescription.Shards
}

// records reads so many records from the beginning of all shards.
func (s *suite) records(t *testing.T, arn *string, want int) []streamtypes.Record {
	t.Helper()
	var out []streamtypes.Record
	eventually(t, fmt.Sprintf("the stream has %d records", want), func() bool {
		out = nil
		for _, shard := range s.shards(t, arn) {
			out = append(out, s.read(t, arn, shard.ShardId, streamtypes.ShardIteratorTypeTrimHorizon, nil)...)
		}
		return len(out) >= want
	})
	if len(out) != want {
		t.Fatalf("%d records, want %d", len(out), want)
	}
	return out
}

// read reads a shard from a position until nothing more comes.
func (s *suite) read(t *testing.T, arn, shard *string, kind streamtypes.ShardIteratorType, number *string) []streamtypes.Record {
	t.Helper()
	it, err := s.streams.GetShardIterator(contextOf(t),
		&dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: shard, ShardIteratorType: kind, SequenceNumber: number})
	if err != nil {
		t.Fatal(err)
	}
	var out []streamtypes.Record
	for next := it.ShardIterator; next != nil; {
		page, err := s.streams.GetRecords(contextOf(t), &dynamodbstreams.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(2)})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Records) == 0 {
			return out
		}
		out, next = append(out, page.Records...), page.NextShardIterator
	}
	return out
}

// plain is a stream's item as the table's client knows it.
func plain(it map[string]streamtypes.AttributeValue) item {
	if it == nil {
		return nil
	}
	out := item{}
	for k, v := range it {
		switch v := v.(type) {
		case *streamtypes.AttributeValueMemberS:
			out[k] = str(v.Value)
		case *streamtypes.AttributeValueMemberN:
			out[k] = num(v.Value)
		case *streamtypes.AttributeValueMemberBOOL:
			out[k] = boolean(v.Value)
		}
	}
	return out
}

func (s *suite) streamOf(t *testing.T, view types.StreamViewType) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "S", view: view})
	k := key("p", "1")
	first, second := with(k, item{"n": num("1")}), with(k, item{"n": num("2")})
	s.put(t, table, first)
	s.put(t, table, first) // changes nothing: no record
	s.put(t, table, second)
	for range 2 { // the second deletes nothing
		if _, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: k}); err != nil {
			t.Fatal(err)
		}
	}
	records := s.records(t, s.streamARN(t, table), 3)
	for i, want := range []struct {
		name     streamtypes.OperationType
		old, new item
	}{{"INSERT", nil, first}, {"MODIFY", first, second}, {"REMOVE", second, nil}} {
		r := records[i]
		if r.EventName != want.name || aws.ToString(r.EventSource) != "aws:dynamodb" || aws.ToString(r.EventID) == "" || r.UserIdentity != nil {
			t.Errorf("record %d is %s of %s, %v", i, r.EventName, aws.ToString(r.EventSource), r.UserIdentity)
		}
		if view == types.StreamViewTypeKeysOnly || view == types.StreamViewTypeOldImage {
			want.new = nil
		}
		if view == types.StreamViewTypeKeysOnly || view == types.StreamViewTypeNewImage {
			want.old = nil
		}
		wantItem(t, plain(r.Dynamodb.Keys), k)
		wantItem(t, plain(r.Dynamodb.OldImage), want.old)
		wantItem(t, plain(r.Dynamodb.NewImage), want.new)
		if r.Dynamodb.StreamViewType != streamtypes.StreamViewType(view) {
			t.Errorf("the view is %s", r.Dynamodb.StreamViewType)
		}
		if i > 0 && !lessNumber(records[i-1].Dynamodb.SequenceNumber, r.Dynamodb.SequenceNumber) {
			t.Errorf("the sequence numbers do not grow: %s, %s", *records[i-1].Dynamodb.SequenceNumber, *r.Dynamodb.SequenceNumber)
		}
	}
}

func lessNumber(a, b *string) bool { return len(*a) < len(*b) || len(*a) == len(*b) && *a < *b }

func (s *suite) streamPositions(t *testing.T) {
	table := s.table(t, spec{view: types.StreamViewTypeNewImage})
	arn := s.streamARN(t, table)
	for i := range 5 {
		s.put(t, table, item{"pk": str(fmt.Sprint(i))})
	}
	records := s.records(t, arn, 5)
	shard := s.shards(t, arn)[0].ShardId
	third := records[2].Dynamodb.SequenceNumber
	if got := s.read(t, arn, shard, streamtypes.ShardIteratorTypeAtSequenceNumber, third); len(got) != 3 || *got[0].EventID != *records[2].EventID {
		t.Errorf("at the third: %d records", len(got))
	}
	if got := s.read(t, arn, shard, streamtypes.ShardIteratorTypeAfterSequenceNumber, third); len(got) != 2 {
		t.Errorf("after the third: %d records", len(got))
	}
	latest, err := s.streams.GetShardIterator(contextOf(t),
		&dynamodbstreams.GetShardIteratorInput{StreamArn: arn, ShardId: shard, ShardIteratorType: streamtypes.ShardIteratorTypeLatest})
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, table, item{"pk": str("new")})
	next := latest.ShardIterator
	eventually(t, "the latest record is read", func() bool {
		page, err := s.streams.GetRecords(contextOf(t), &dynamodbstreams.GetRecordsInput{ShardIterator: next})
		if err != nil {
			t.Fatal(err)
		}
		next = page.NextShardIterator
		return len(page.Records) == 1 && show(plain(page.Records[0].Dynamodb.Keys)) == show(item{"pk": str("new")})
	})
}

func (s *suite) streamOfMany(t *testing.T) {
	table := s.table(t, spec{view: types.StreamViewTypeNewAndOldImages})
	if err := s.transact(t, transactPut(table, item{"pk": str("a")}), transactUpdate(table, item{"pk": str("b")}, "ADD n :one"),
		transactCheck(table, item{"pk": str("c")}, "attribute_not_exists(pk)")); err != nil {
		t.Fatal(err)
	}
	_, err := s.client.BatchWriteItem(contextOf(t), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
		table: {putRequest(item{"pk": str("d")}), deleteRequest(item{"pk": str("a")})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, r := range s.records(t, s.streamARN(t, table), 4) {
		got[string(r.EventName)+show(plain(r.Dynamodb.Keys))] = true
	}
	for _, want := range []string{"INSERT" + show(item{"pk": str("a")}), "INSERT" + show(item{"pk": str("b")}), "INSERT" +
		show(item{"pk": str("d")}), "REMOVE" + show(item{"pk": str("a")})} {
		if !got[want] {
			t.Errorf("no %s among %v", want, got)
		}
	}
}

func (s *suite) badStreams(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{view: types.StreamViewTypeKeysOnly})
	arn := s.streamARN(t, table)
	none := aws.String(*arn + "x")
	_, err := s.streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: none})
	wantError(t, err, "ResourceNotFoundException")
	_, err = s.streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: arn,
		ShardId: aws.String("shardId-00000000000000000000-00000000"), ShardIteratorType: streamtypes.ShardIteratorTypeLatest})
	wantError(t, err, "ResourceNotFoundException")
	_, err = s.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: aws.String("this is no iterator at all")})
	wantError(t, err, validation)
}

func (s *suite) turnedStreams(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{sort: "S"})
	for _, on := range []bool{true, false, true} {
		stream := &types.StreamSpecification{StreamEnabled: aws.Bool(on)}
		if on {
			stream.StreamViewType = types.StreamViewTypeKeysOnly
		}
		if _, err := s.client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &table, StreamSpecification: stream}); err != nil {
			t.Fatal(err)
		}
		out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Table.StreamSpecification; on != (got != nil && aws.ToBool(got.StreamEnabled)) {
			t.Errorf("turned on %t, its stream is %+v", on, got)
		}
		if _, err := s.client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &table, StreamSpecification: stream}); err == nil {
			t.Errorf("turned on %t twice, and not refused", on)
		}
	}
}
