package dynamostream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/dynamostream"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// direct takes requests to a handler without a socket, whose waiting would be outside of
// testing/synctest's time.
type direct struct {
	http.Handler
	reads *atomic.Int32
}

func (d direct) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") == "DynamoDBStreams_20120810.GetRecords" {
		d.reads.Add(1)
	}
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// TestAHurriedReaderSpendsWhatItHasSpared: it asks at once, and ten times in a row, and over
// any longer time no more than five times a second.
func TestAHurriedReaderSpendsWhatItHasSpared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int32
		var endpoint, client = aws.String("http://dynamodb.invalid"), direct{dynamodbserver.New(dynamodbserver.Config{}), &reads}
		any := credentials.NewStaticCredentialsProvider("any", "any", "")
		tables := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: endpoint, HTTPClient: client, Credentials: any})
		in := dynamo.CompositeTable("paced")
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage}
		if err := dynamo.EnsureTable(t.Context(), tables, in); err != nil {
			t.Fatal(err)
		}
		table, err := tables.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("paced")})
		if err != nil {
			t.Fatal(err)
		}
		stream := dynamostream.Stream{ARN: *table.Table.LatestStreamArn, Client: dynamodbstreams.New(dynamodbstreams.Options{Region: "us-east-1",
			BaseEndpoint: endpoint, HTTPClient: client, Credentials: any})}
		shards, err := stream.Shards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var pace dynamostream.Pace
		r := &dynamostream.Reader{Stream: stream, Shard: shards[0].ID, Position: dynamostream.Oldest, Pace: &pace}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for err := error(nil); err == nil; {
				_, _, err = r.Next(ctx)
			}
		}()
		sent := func(in time.Duration) int32 {
			before := reads.Load()
			time.Sleep(in)
			synctest.Wait()
			return reads.Load() - before
		}
		for range 2 {
			if n := sent(10 * time.Second); n < 39 || n > 41 {
				t.Errorf("a calm reader has asked %d times in ten seconds", n)
			}
			time.Sleep(30 * time.Millisecond) // it has just asked
			pace.Hurry(true)
			if n := sent(230 * time.Millisecond); n < 9 || n > 11 {
				t.Errorf("a hurried reader has asked %d times at once", n)
			}
			if n := sent(10 * time.Second); n < 48 || n > 53 {
				t.Errorf("after that it has asked %d times in ten seconds", n)
			}
			pace.Hurry(false)
		}
		cancel()
		<-ended
	})
}
