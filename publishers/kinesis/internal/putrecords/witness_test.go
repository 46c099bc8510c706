package putrecords_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

var encodings = map[string]putrecords.Encoding{"JSON": putrecords.JSON, "CBOR": putrecords.CBOR}

func TestSandboxKeepsWhatIsSent(t *testing.T) {
	server, err := sandbox.New(sandbox.Config{Transition: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	t.Cleanup(front.Close)
	keepsWhatIsSent(t, front.URL)
}

// TestPeerKeepsWhatIsSent is the witness for both encodings: another
// implementation of Kinesis, at BANYAN_CONFORMANCE_KINESIS.
func TestPeerKeepsWhatIsSent(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_KINESIS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_KINESIS is not set")
	}
	keepsWhatIsSent(t, url)
}

func keepsWhatIsSent(t *testing.T, url string) {
	for name, encoding := range encodings {
		t.Run(name, func(t *testing.T) {
			s := newStream(t, url, "putrecords-"+name)
			s.sendAndRead(t, encoding)
			s.isRefused(t, encoding)
		})
	}
}

type liveStream struct {
	client *awskinesis.Client
	name   string
}

func newStream(t *testing.T, url, name string) liveStream {
	s := liveStream{newClient(t, url), name}
	if _, err := s.client.CreateStream(t.Context(), &awskinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.client.DeleteStream(context.Background(), &awskinesis.DeleteStreamInput{StreamName: &name}); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out, err := s.client.DescribeStreamSummary(t.Context(), &awskinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil || time.Now().After(deadline) {
			t.Fatal("the stream does not become active", err)
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return s
		}
	}
}

func (s liveStream) sendAndRead(t *testing.T, encoding putrecords.Encoding) {
	t.Helper()
	r := putrecords.Request{Encoding: encoding}
	rnd := rand.New(rand.NewPCG(1, uint64(encoding)))
	r.Reset(s.name)
	var want []types.PutRecordsRequestEntry
	for i, key := range oddKeys {
		if !utf8.ValidString(key) || utf8.RuneCountInString(key) > 200 {
			continue
		}
		b := randomAggregate(rnd, i)
		r.Add(key, "", filler(1+i, i))
		r.AddAggregate(key, "7", b)
		want = append(want, types.PutRecordsRequestEntry{PartitionKey: aws.String(key), Data: filler(1+i, i)},
			types.PutRecordsRequestEntry{PartitionKey: aws.String(key), Data: b.Append(nil)})
	}
	answers, err := r.Send(t.Context(), s.client)
	if err != nil || r.FellBack() {
		t.Fatalf("in JSON instead: %v, %v", r.FellBack(), err)
	}
	got := s.read(t, len(want))
	for i, w := range want {
		if *got[i].PartitionKey != *w.PartitionKey || string(got[i].Data) != string(w.Data) {
			t.Fatalf("record %d is %q with %d bytes, want %q with %d", i, *got[i].PartitionKey, len(got[i].Data), *w.PartitionKey, len(w.Data))
		}
		if a := answers[i]; a.SequenceNumber != *got[i].SequenceNumber || a.ShardID != "shardId-000000000000" || a.ErrorCode+a.ErrorMessage != "" {
			t.Fatalf("record %d has %s, the answer is %+v", i, *got[i].SequenceNumber, a)
		}
	}
}

func (s liveStream) read(t *testing.T, n int) []types.Record {
	t.Helper()
	it, err := s.client.GetShardIterator(t.Context(), &awskinesis.GetShardIteratorInput{
		StreamName: &s.name, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.client.GetRecords(t.Context(), &awskinesis.GetRecordsInput{ShardIterator: it.ShardIterator})
	if err != nil || len(out.Records) != n {
		t.Fatalf("%d records, want %d: %v", len(out.Records), n, err)
	}
	return out.Records
}

// isRefused sends to a stream that is not there.
func (s liveStream) isRefused(t *testing.T, encoding putrecords.Encoding) {
	t.Helper()
	r := putrecords.Request{Encoding: encoding}
	r.Reset(fmt.Sprint("no-", s.name))
	r.Add("k", "", []byte("data"))
	_, err := r.Send(t.Context(), s.client)
	var notFound *types.ResourceNotFoundException
	if !errors.As(err, &notFound) {
		t.Error(err)
	}
}
