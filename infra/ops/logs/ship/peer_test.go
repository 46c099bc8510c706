package ship_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
)

// TestPeerDelivery: what another implementation of CloudWatch Logs delivers to a
// stream is read as what was written.
func TestPeerDelivery(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_LOGS")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_LOGS is not set")
	}
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("l", "l", "")}
	logs, streams := cloudwatchlogs.NewFromConfig(cfg), kinesis.NewFromConfig(cfg)
	name := aws.String(fmt.Sprint("peer-", time.Now().UnixNano()))
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := streams.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
	check(err)
	described, err := streams.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: name})
	check(err)
	_, err = logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: name})
	check(err)
	_, err = logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: name, LogStreamName: aws.String("s")})
	check(err)
	_, err = logs.PutSubscriptionFilter(ctx, &cloudwatchlogs.PutSubscriptionFilterInput{
		LogGroupName: name, FilterName: aws.String("f"), FilterPattern: aws.String(""),
		DestinationArn: described.StreamDescription.StreamARN, RoleArn: aws.String(roleARN),
	})
	check(err)
	now := time.Now().UnixMilli()
	_, err = logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: name, LogStreamName: aws.String("s"),
		LogEvents: []types.InputLogEvent{{Timestamp: &now, Message: aws.String("a")}, {Timestamp: &now, Message: aws.String("b")}}})
	check(err)
	iterator, err := streams.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: name, ShardId: described.StreamDescription.Shards[0].ShardId, ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon,
	})
	check(err)
	page, err := streams.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})
	check(err)
	var got []string
	for _, r := range page.Records {
		d, err := line.Decode(r.Data)
		check(err)
		for _, e := range d.LogEvents {
			if d.MessageType == line.Data && d.LogGroup == *name && d.LogStream == "s" && e.Timestamp == now && e.ID != "" {
				got = append(got, e.Message)
			}
		}
	}
	if fmt.Sprint(got) != "[a b]" {
		t.Errorf("delivered %v in %d records", got, len(page.Records))
	}
}
