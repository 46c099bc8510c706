package source

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
)

// Kinesis is a stream of Kinesis, whose records are events or aggregates of events: the
// source of functions that name none.
func Kinesis() Source {
	return Source{consumers.SourceKinesis, isOf("aws:kinesis"), func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[struct {
			awsevents.KinesisEvent
			windowed
		}](payload)
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return nil, err
		}
		return c.HandleKinesis(ctx, e.KinesisEvent)
	}}
}

// windowed is what an invocation of a mapping with tumbling windows has beside records.
type windowed struct {
	Window json.RawMessage `json:"window"`
}

func (w windowed) check() error {
	if w.Window == nil {
		return nil
	}
	return fmt.Errorf("%w: the mapping has a tumbling window, which is not supported: create it without TumblingWindowInSeconds", ErrInvocation)
}

// itemFailures is the answer of ReportBatchItemFailures.
type itemFailures struct {
	Failures []itemFailure `json:"batchItemFailures"`
}

type itemFailure struct {
	ID any `json:"itemIdentifier"`
}

// DynamoDB is a stream of a table. Message.Record is an events.DynamoDBEventRecord, and the
// changes of one item are in order.
func DynamoDB() Source {
	return Source{nameDynamoDB, isOf("aws:dynamodb"), handleDynamoDB}
}

const nameDynamoDB = "dynamodb"

func handleDynamoDB(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
	e, err := parse[struct {
		Records []json.RawMessage
		ShardID string `json:"shardId"`
		windowed
	}](payload)
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return nil, err
	}
	records := make([]consumers.Record, len(e.Records))
	for i, raw := range e.Records {
		if records[i], err = changeRecord(raw); err != nil {
			return nil, fmt.Errorf("%w: record %d of %d: %w", ErrInvocation, i+1, len(e.Records), err)
		}
	}
	failures, err := c.HandleRecords(ctx, records)
	answer := itemFailures{[]itemFailure{}}
	if len(failures) > 0 { // Lambda goes on from the lowest
		answer.Failures = append(answer.Failures, itemFailure{records[failures[0].Index].ID})
	}
	return answer, err
}

func changeRecord(raw []byte) (r consumers.Record, err error) {
	change, err := parse[awsevents.DynamoDBEventRecord](raw)
	if err != nil {
		return r, err
	}
	if change.Change.SequenceNumber == "" {
		return r, errors.New("it has no sequence number to be reported by")
	}
	key, err := json.Marshal(change.Change.Keys)
	return consumers.Record{
		ID: change.Change.SequenceNumber, Key: string(key), Lane: change.EventSourceArn, Stream: change.EventSourceArn,
		Message: consumers.Message{
			Source: nameDynamoDB, Raw: raw, Record: change, Shard: change.EventSourceArn,
			Position: events.Position{Sequence: change.Change.SequenceNumber},
			Arrived:  change.Change.ApproximateCreationDateTime.Time,
		},
	}, err
}

// Redrive returns what handles a dead letter of a stream again, as [consumers.Consumer.Redrive]
// does for those of Kinesis.
func Redrive(c *consumers.Consumer) func(context.Context, consumers.DeadLetter) error {
	return func(ctx context.Context, d consumers.DeadLetter) error {
		if a, err := arn.Parse(d.Stream); err != nil || a.Service != "dynamodb" {
			return c.Redrive(ctx, d)
		}
		r, err := changeRecord(d.Raw)
		r.Broken = err
		return c.RedriveRecord(ctx, r)
	}
}

// Kafka is topics of MSK or of a cluster of one's own. Message.Record is an
// events.KafkaRecord, Message.Attributes are its headers, and Message.Shard is the topic and
// the partition. Records of one key are in order; those without one have that of their
// partition. There is no Message.Position, since offsets of two partitions do not compare.
func Kafka(options ...Option) Source {
	is := func(s Shape) bool { return s.EventSource == "aws:kafka" || s.EventSource == "SelfManagedKafka" }
	return Source{"kafka", is, func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[awsevents.KafkaEvent](payload)
		if err != nil {
			return nil, err
		}
		var records []consumers.Record
		for _, partition := range slices.Sorted(maps.Keys(e.Records)) {
			for _, r := range e.Records[partition] {
				records = append(records, kafkaRecord(c, partition, r, options))
			}
		}
		failures, err := c.HandleRecords(ctx, records)
		answer := itemFailures{[]itemFailure{}}
		for _, f := range failures {
			m := records[f.Index].Message
			offset := m.Record.(awsevents.KafkaRecord).Offset
			answer.Failures = append(answer.Failures, itemFailure{kafkaID{m.Shard, offset}})
		}
		return answer, err
	}}
}

type kafkaID struct {
	Partition string `json:"partition"`
	Offset    int64  `json:"offset"`
}

func kafkaRecord(c *consumers.Consumer, partition string, r awsevents.KafkaRecord, options []Option) consumers.Record {
	record := consumers.Record{
		Key: partition + "\x00" + r.Key, Lane: partition,
		Message: consumers.Message{Source: "kafka", Record: r, Shard: partition, Arrived: r.Timestamp.Time},
	}
	for _, header := range r.Headers {
		for name, value := range header {
			setAttribute(&record.Message, name, string(value))
		}
	}
	m := &record.Message
	if m.Raw, record.Broken = base64.StdEncoding.DecodeString(r.Value); record.Broken == nil {
		record.Broken = unwrap(c, m, options)
	}
	return record
}

func setAttribute(m *consumers.Message, name, value string) {
	if m.Attributes == nil {
		m.Attributes = map[string]string{}
	}
	m.Attributes[name] = value
}
