package source

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
)

// SQS is a queue, standard or FIFO. Message.Record is an events.SQSMessage, and
// Message.Receives is how often the queue delivered it. Messages of a FIFO queue are in order
// within their group, and a failure leaves the group's later ones to the next delivery.
func SQS(options ...Option) Source {
	return Source{"sqs", isOf("aws:sqs"), func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[awsevents.SQSEvent](payload)
		if err != nil {
			return nil, err
		}
		records := make([]consumers.Record, len(e.Records))
		for i, message := range e.Records {
			records[i] = queueRecord(c, message, options)
		}
		failures, err := c.HandleRecords(ctx, records)
		answer := itemFailures{[]itemFailure{}}
		for _, f := range failures {
			answer.Failures = append(answer.Failures, itemFailure{records[f.Index].ID})
		}
		return answer, err
	}}
}

func queueRecord(c *consumers.Consumer, message awsevents.SQSMessage, options []Option) consumers.Record {
	group := message.Attributes["MessageGroupId"]
	if message.Attributes["SequenceNumber"] == "" { // of a standard queue, whose groups are not in order
		group = ""
	}
	receives, _ := strconv.Atoi(message.Attributes["ApproximateReceiveCount"])
	sent, _ := strconv.ParseInt(message.Attributes["SentTimestamp"], 10, 64)
	record := consumers.Record{ID: message.MessageId, Key: group, Lane: group, Message: consumers.Message{
		Source: "sqs", Raw: []byte(message.Body), Record: message, Receives: receives,
	}}
	m := &record.Message
	if sent > 0 {
		m.Arrived = time.UnixMilli(sent)
	}
	for name, a := range message.MessageAttributes {
		if a.StringValue != nil {
			setAttribute(m, name, *a.StringValue)
		} else {
			setAttribute(m, name, string(a.BinaryValue))
		}
	}
	unwrapNotification(m, options)
	record.Broken = unwrap(c, m, options)
	return record
}

// notification is what a topic of SNS sends to a queue without raw delivery.
type notification struct {
	Type              string
	TopicArn          string
	MessageID         string `json:"MessageId"`
	Message           *string
	MessageAttributes map[string]struct{ Value string }
}

// unwrapNotification gives m what the topic was given.
func unwrapNotification(m *consumers.Message, options []Option) {
	var n notification
	if len(options) > 0 || json.Unmarshal(m.Raw, &n) != nil || n.Type != "Notification" || n.TopicArn == "" || n.Message == nil {
		return
	}
	m.Raw = []byte(*n.Message)
	for name, a := range n.MessageAttributes {
		setAttribute(m, name, a.Value)
	}
}
