package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/aggregate"
)

// task is one message of a batch.
type task struct {
	Record
	index   int  // in the batch, which is the order of the source
	claimed bool // its handler returned, or was abandoned
	done    outcome
	// attempts at it that used up its share, in this delivery and, as far as this process
	// knows, in earlier ones.
	attempts int
}

// maxSub is the last index inside an aggregate that a Position can have.
const maxSub = 999_999

// unpack makes tasks of the events in a batch, in the order of the stream.
func unpack(e awsevents.KinesisEvent, registry *events.Registry) ([]*task, error) {
	var tasks []*task
	for i, r := range e.Records {
		if !isNumber(r.Kinesis.SequenceNumber) {
			return nil, fmt.Errorf("record %d of %d has %q for a sequence number, so it could not be reported: the whole batch is refused",
				i+1, len(e.Records), r.Kinesis.SequenceNumber)
		}
		for sub, part := range SplitRecord(r.Kinesis) {
			t := newTask(r, part, sub, registry)
			t.index = len(tasks)
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// SplitRecord returns the events of an aggregate, or the record itself: number i is at the
// position with Sub i. An aggregate without events stays whole, so that it is not lost.
func SplitRecord(r awsevents.KinesisRecord) []aggregate.Record {
	records, err := aggregate.Decode(r.Data)
	if err != nil || len(records) == 0 || len(records) > maxSub+1 {
		records = []aggregate.Record{{Data: r.Data}}
	}
	if len(records) == 1 && records[0].PartitionKey == "" { // a plain record has only its own
		records[0].PartitionKey = r.PartitionKey
	}
	return records
}

func newTask(r awsevents.KinesisEventRecord, part aggregate.Record, sub int, registry *events.Registry) *task {
	shard, rest, _ := strings.Cut(r.EventID, ":")
	if _, first, ok := strings.Cut(rest, ":"); ok { // a replay of some of an aggregate's events
		if n, err := strconv.Atoi(first); err == nil && n >= 0 && n <= maxSub-sub {
			sub += n
		}
	}
	t := &task{Record: Record{Stream: r.EventSourceArn, ID: r.Kinesis.SequenceNumber, Key: part.PartitionKey, Lane: shard}}
	t.Message = Message{
		Source:   SourceKinesis,
		Position: events.Position{Sequence: r.Kinesis.SequenceNumber, Sub: sub},
		Shard:    shard,
		Raw:      part.Data,
		Arrived:  r.Kinesis.ApproximateArrivalTimestamp.Time,
	}
	t.Broken = t.Message.decode(registry)
	if t.Message.Event.PartitionKey != "" {
		t.Key = t.Message.Event.PartitionKey
	}
	return t
}

// decode sets Event from Raw, unless it is set, and Payload. After an error of the payload,
// Event is set.
func (m *Message) decode(registry *events.Registry) (err error) {
	if m.Event.ID == "" {
		if m.Event, err = events.Decode(m.Raw); err != nil {
			return err
		}
	}
	m.Withheld = registry.Withholds(m.Event)
	m.Payload, err = decodePayload(registry, m.Event)
	return err
}

// open decodes the payload of a message whose personal members are sealed once more, with
// those that can be opened.
func (m *Message) open(ctx context.Context, cfg *Config) error {
	opened, err := cfg.Open(ctx, m.Event)
	if errors.Is(err, events.ErrMalformed) {
		return Permanent(err)
	}
	if err != nil {
		return Unavailable(err)
	}
	m.Withheld = cfg.Registry.Withholds(opened)
	if m.Payload, err = decodePayload(cfg.Registry, opened); err != nil {
		return Permanent(errOpened) // err may quote what was opened, and reasons are kept and logged
	}
	return nil
}

var errOpened = fmt.Errorf("%w: data: once its personal members are opened, it does not fit its type, or its Validate refuses it: "+
	"was it sealed without a check?", events.ErrMalformed)

func decodePayload(registry *events.Registry, e events.Event) (events.Payload, error) {
	p, err := registry.Decode(e)
	if errors.Is(err, events.ErrUnknownType) {
		return nil, nil
	}
	return p, err
}

func isNumber(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "0123456789") == ""
}
