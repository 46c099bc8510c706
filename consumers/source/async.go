package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/banyan-fig/banyan/consumers"
)

// whole handles records that are not reported one by one: a failure of one is that of the
// invocation.
func whole(ctx context.Context, c *consumers.Consumer, records []consumers.Record) (any, error) {
	failures, err := c.HandleRecords(ctx, records)
	errs := []error{err}
	for _, f := range failures {
		errs = append(errs, fmt.Errorf("record %d of %d: %w", f.Index+1, len(records), f.Err))
	}
	return nil, errors.Join(errs...)
}

// SNS is a topic. Message.Record is an events.SNSEntity.
func SNS(options ...Option) Source {
	return Source{"sns", isOf("aws:sns"), func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[awsevents.SNSEvent](payload)
		if err != nil {
			return nil, err
		}
		records := make([]consumers.Record, len(e.Records))
		for i, r := range e.Records {
			m := consumers.Message{Source: "sns", Raw: []byte(r.SNS.Message), Record: r.SNS, Arrived: r.SNS.Timestamp}
			for name, attribute := range r.SNS.MessageAttributes {
				if a, ok := attribute.(map[string]any); ok {
					setAttribute(&m, name, fmt.Sprint(a["Value"]))
				}
			}
			records[i] = consumers.Record{ID: r.SNS.MessageID, Message: m}
			records[i].Broken = unwrap(c, &records[i].Message, options)
		}
		return whole(ctx, c, records)
	}}
}

// EventBridge is a bus, with its schedules: rules send "Scheduled Event" of aws.events.
// Message.Record is an events.EventBridgeEvent. A schedule of EventBridge Scheduler, or a
// rule with an input of its own, sends what it was given: see [Direct].
func EventBridge(options ...Option) Source {
	is := func(s Shape) bool { return s.has("detail-type", "detail", "source", "id") }
	return Source{"eventbridge", is, func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[awsevents.EventBridgeEvent](payload)
		if err != nil {
			return nil, err
		}
		r := consumers.Record{ID: e.ID, Message: consumers.Message{Source: "eventbridge", Raw: payload, Record: e, Arrived: e.Time}}
		r.Broken = unwrap(c, &r.Message, options)
		return whole(ctx, c, []consumers.Record{r})
	}}
}

// S3 is notifications of a bucket. Message.Record is an events.S3EventRecord, whose
// S3.Object.URLDecodedKey is the object's name. Those of one object are handled one after the
// other; S3 does not deliver them in order, their s3.object.sequencer tells which is later.
func S3() Source {
	return Source{"s3", isOf("aws:s3"), func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		e, err := parse[struct{ Records []json.RawMessage }](payload)
		if err != nil {
			return nil, err
		}
		records := make([]consumers.Record, len(e.Records))
		for i, raw := range e.Records {
			r, err := parse[awsevents.S3EventRecord](raw)
			records[i] = consumers.Record{
				ID: r.S3.Object.Key, Key: r.S3.Bucket.Name + "/" + r.S3.Object.Key, Broken: err,
				Message: consumers.Message{Source: "s3", Raw: raw, Record: r, Arrived: r.EventTime},
			}
		}
		return whole(ctx, c, records)
	}}
}

// Direct takes every invocation that no source before it does, so it is the last: those of a
// schedule of EventBridge Scheduler, of another function, or of a person. Message.Raw is the
// payload, and Message.Attributes are the member custom of the client context of a caller
// that waits for the answer.
func Direct(options ...Option) Source {
	return Source{"direct", func(Shape) bool { return true }, func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error) {
		r := consumers.Record{Message: consumers.Message{Source: "direct", Raw: payload}}
		if invocation, ok := lambdacontext.FromContext(ctx); ok {
			r.Message.Attributes = maps.Clone(invocation.ClientContext.Custom)
		}
		r.Broken = unwrap(c, &r.Message, options)
		return whole(ctx, c, []consumers.Record{r})
	}}
}
