package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/consumers"
)

// Source is one kind of what invokes functions. Make one with [Kinesis], [SQS] and so on.
type Source struct {
	name   string
	is     func(Shape) bool
	handle func(ctx context.Context, c *consumers.Consumer, payload []byte) (any, error)
}

// Name is the Message.Source of the messages.
func (s Source) Name() string { return s.name }

// IsStream reports whether the messages have positions.
func (s Source) IsStream() bool { return s.name == consumers.SourceKinesis || s.name == nameDynamoDB }

// Option changes what a source does.
type Option int

// Raw passes what the source delivers as it is, without looking for events in it.
const Raw Option = 1

// ErrInvocation is returned for an invocation that is of none of the function's sources. It
// fails the invocation, and nothing was handled.
var ErrInvocation = errors.New("invalid invocation")

// Handle handles an invocation with the first of the sources that it is of, and returns what
// Lambda is to be answered. An error fails the invocation.
func Handle(ctx context.Context, c *consumers.Consumer, sources []Source, payload []byte) (any, error) {
	shape, err := ShapeOf(payload)
	if err != nil {
		return nil, err
	}
	for _, s := range sources {
		if s.is(shape) {
			return s.handle(ctx, c, payload)
		}
	}
	if !json.Valid(payload) {
		return nil, fmt.Errorf("%w: the payload of %d bytes is not JSON", ErrInvocation, len(payload))
	}
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = s.name
	}
	return nil, fmt.Errorf("%w: got %v, and this function takes %s only: correct its trigger, or name the source in Spec.Sources",
		ErrInvocation, shape, strings.Join(names, ", "))
}

// Shape is what tells the sources of invocations apart.
type Shape struct {
	// Keys are the names of the payload's members, up to and with its records.
	Keys []string
	// EventSource is that of the invocation or of its first record, such as aws:sqs.
	EventSource string
}

// maxKeys bounds what is read of a payload that is of no source.
const maxKeys = 100

// ShapeOf reads as much of a payload as tells its source: not more than the first of its
// records. ErrInvocation where that is not JSON.
func ShapeOf(payload []byte) (Shape, error) {
	var s Shape
	if text := bytes.TrimLeft(payload, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return s, nil
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	_, err := d.Token()
	for err == nil && d.More() && len(s.Keys) < maxKeys {
		var key json.Token
		if key, err = d.Token(); err != nil {
			break
		}
		s.Keys = append(s.Keys, key.(string))
		switch key {
		case "Records":
			return s, s.first(d)
		case "eventSource":
			err = d.Decode(&s.EventSource)
		default:
			err = d.Decode(&json.RawMessage{})
		}
	}
	if err != nil {
		return s, fmt.Errorf("%w: the payload of %d bytes is not JSON: %w", ErrInvocation, len(payload), err)
	}
	return s, nil
}

// first reads the source of the first record. A payload whose records are not a list of
// objects has none.
func (s *Shape) first(d *json.Decoder) error {
	if begin, err := d.Token(); err != nil || begin != json.Delim('[') || !d.More() {
		return nil
	}
	var record struct{ EventSource string } // SNS begins it with a capital, the others do not
	if d.Decode(&record) == nil {
		s.EventSource = record.EventSource
	}
	return nil
}

func (s Shape) has(keys ...string) bool {
	return !slices.ContainsFunc(keys, func(key string) bool { return !slices.Contains(s.Keys, key) })
}

func (s Shape) String() string {
	switch {
	case s.EventSource != "":
		return "an invocation of " + s.EventSource
	case s.has("detail-type", "detail"):
		return "an event of EventBridge"
	case s.has("requestContext"):
		return "an HTTP request"
	case len(s.Keys) == 0:
		return "a payload without members"
	}
	return fmt.Sprintf("an object with the members %.200q", s.Keys)
}

// isOf reports whether an invocation names a source.
func isOf(eventSource string) func(Shape) bool {
	return func(s Shape) bool { return s.EventSource == eventSource }
}

// parse reads an invocation.
func parse[T any](payload []byte) (T, error) {
	var e T
	if err := json.Unmarshal(payload, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrInvocation, err)
	}
	return e, nil
}
