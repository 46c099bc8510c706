package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// DeadLetter is an event that a consumer gave up on, whole, with the reason.
type DeadLetter struct {
	// Consumer is the Config.Name of the consumer that gave up.
	Consumer string
	// Stream is the ARN of the stream; empty where the event was on none, and for dead
	// letters that were written before they had one.
	Stream string
	Shard  string
	// Position, Stream and Consumer identify the dead letter: two streams may have records
	// with the same number.
	Position events.Position
	// PartitionKey is the event's, or the record's when it cannot be decoded.
	PartitionKey string
	// EventID and EventType are empty when Raw cannot be decoded.
	EventID, EventType string
	// Raw is the event as it was on the stream, every byte.
	Raw []byte
	// Reason says why, for people.
	Reason string
	// Arrived is when Kinesis accepted the record, At when the consumer gave up.
	Arrived, At time.Time
}

// DeadLetters stores dead letters. Put returns nil when every byte of d is stored; a
// second Put of the same consumer, stream and position changes nothing. It is called
// concurrently.
type DeadLetters interface {
	Put(ctx context.Context, d DeadLetter) error
}

// writeDeadLetter writes t to the dead letters; if that fails, t has failed.
func (c *Consumer) writeDeadLetter(ctx context.Context, t *task, reason error) outcome {
	m := t.Message
	err := c.cfg.DeadLetters.Put(ctx, DeadLetter{
		Consumer:     c.cfg.Name,
		Stream:       streamOf(t.Stream),
		Shard:        m.Shard,
		Position:     m.Position,
		PartitionKey: t.Key,
		EventID:      m.Event.ID,
		EventType:    m.Event.Type,
		Raw:          m.Raw,
		Reason:       reason.Error(),
		Arrived:      m.Arrived,
		At:           c.cfg.Now().UTC(),
	})
	if err != nil {
		return outcome{kind: failed, err: errors.Join(reason, fmt.Errorf("write the dead letter: %w", err))}
	}
	return outcome{kind: deadLetter, err: reason}
}

// streamOf leaves out the registered reader of an ARN that a mapping with enhanced fan-out
// reads by: events are on the stream, whoever reads it.
func streamOf(arn string) string {
	stream, _, _ := strings.Cut(arn, "/consumer/")
	return stream
}

// Redrive handles a dead letter again, like a delivery with the same position, and
// returns the error if it still fails. nil means that its effects are there, through
// this call or before. Dead letters of tables' streams are records of package source.
func (c *Consumer) Redrive(ctx context.Context, d DeadLetter) error {
	m := Message{Source: SourceKinesis, Position: d.Position, Shard: d.Shard, Raw: d.Raw, Arrived: d.Arrived}
	err := m.decode(c.cfg.Registry)
	return c.RedriveRecord(ctx, Record{Message: m, Broken: err})
}

// RedriveRecord is Redrive for a record that was made anew.
func (c *Consumer) RedriveRecord(ctx context.Context, r Record) error {
	t := &task{Record: r}
	run := c.newDelivery(ctx, []*task{t})
	defer run.cancel()
	run.runPart(run.tasks, func(_ *task, err error) outcome {
		if err == nil || errors.Is(err, ErrStale) {
			return outcome{kind: applied}
		}
		return outcome{kind: failed, err: err}
	})
	if t.done.kind != applied {
		err := cmp.Or(t.done.err, context.Cause(run.work), context.Canceled)
		return fmt.Errorf("consumers: %s: redrive %s: %w", c.cfg.Name, r.Message.Position, err)
	}
	return nil
}
