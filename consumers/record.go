package consumers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Record is a message as a source delivers it: with what orders it among the others of the
// invocation. Adapters make them, see package source.
type Record struct {
	Message Message
	// ID is by what the source wants to be told of the record.
	ID string
	// Key orders records: those of one are handled one after the other. "": this one is in
	// order with none.
	Key string
	// Lane is what cannot be continued behind a failure, such as a shard: once a record
	// failed, no later one of its lane begins, and they are redelivered. "": its own.
	Lane string
	// Stream is the ARN of the stream of a message that has a position.
	Stream string
	// Broken is why the record cannot be decoded; nil when it is.
	Broken error
}

// Failure is a record that is not finished.
type Failure struct {
	// Index in the records that were handled.
	Index int
	// Err is why. [ErrNotHandled] when the record was not begun, or interrupted.
	Err error
}

// ErrNotHandled is the error of a record whose handler was not begun, since an earlier one
// failed or time ran out.
var ErrNotHandled = errors.New("not handled: an earlier record failed, or time ran out")

// HandleRecords handles the records of one invocation, given in the order of their source,
// and returns those that are not finished, in that order.
//
// Records of a stream, which have positions, are given up as Config.Policy says. Those of
// other sources never are, nor are attempts at them counted over deliveries: a queue counts
// deliveries itself and has dead letters of its own. An invocation must not have both.
//
// An error applies to all records, see [ErrWornOut]; then nothing was handled.
func (c *Consumer) HandleRecords(ctx context.Context, records []Record) ([]Failure, error) {
	tasks := make([]*task, len(records))
	for i, r := range records {
		if r.Key == "" {
			r.Key = "\x00" + strconv.Itoa(i)
		}
		r.Message.ID = r.ID
		tasks[i] = &task{Record: r, index: i}
	}
	if err := c.handleTasks(ctx, tasks, len(records)); err != nil {
		return nil, err
	}
	var failures []Failure
	for i, t := range tasks {
		if !t.done.isRedelivered() {
			continue
		}
		err := t.done.err
		if err == nil {
			err = ErrNotHandled
		}
		failures = append(failures, Failure{i, err})
	}
	return failures, nil
}

// handleTasks handles the messages of an invocation that had as many records.
func (c *Consumer) handleTasks(ctx context.Context, tasks []*task, records int) error {
	if c.abandoned.n.Load() >= maxAbandoned {
		return fmt.Errorf("consumers: %s: %w", c.cfg.Name, ErrWornOut)
	}
	d := c.newDelivery(ctx, tasks)
	defer d.cancel()
	d.run()
	if c.cfg.Observe != nil {
		c.cfg.Observe(ctx, d.report(records))
	}
	return nil
}

// Decode sets the Event of m from its Raw, unless it is set, and Payload with the registry of
// the consumer. After an error of the payload, Event is set.
func (c *Consumer) Decode(m *Message) error { return m.decode(c.cfg.Registry) }
