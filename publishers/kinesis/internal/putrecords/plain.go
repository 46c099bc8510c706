package putrecords

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// sendPlain is for clients that are not the SDK's. What they are given is
// theirs: they may keep it.
func (r *Request) sendPlain(ctx context.Context, options []func(*awskinesis.Options)) ([]Answer, error) {
	records := make([]types.PutRecordsRequestEntry, len(r.entries))
	for i, e := range r.entries {
		records[i] = e.plain()
	}
	out, err := r.client.PutRecords(ctx, &awskinesis.PutRecordsInput{StreamName: aws.String(r.stream), Records: records}, options...)
	if err != nil {
		return nil, err
	}
	r.answers = r.answers[:0]
	for _, a := range out.Records {
		r.answers = append(r.answers, Answer{
			SequenceNumber: aws.ToString(a.SequenceNumber),
			ShardID:        aws.ToString(a.ShardId),
			ErrorCode:      aws.ToString(a.ErrorCode),
			ErrorMessage:   aws.ToString(a.ErrorMessage),
		})
	}
	return r.checked(out)
}

func (e entry) plain() types.PutRecordsRequestEntry {
	record := types.PutRecordsRequestEntry{PartitionKey: aws.String(e.partitionKey), Data: e.data}
	if e.aggregate != nil {
		record.Data = e.aggregate.Append(nil)
	}
	if e.explicitHashKey != "" {
		record.ExplicitHashKey = aws.String(e.explicitHashKey)
	}
	return record
}

func requestID(out *awskinesis.PutRecordsOutput) string {
	id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
	return id
}
