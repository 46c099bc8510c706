package logs

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// delivery is one record on its way.
type delivery struct {
	group, stream, key string
	message            message
}

// message is what a record holds, compressed.
type message struct {
	MessageType         string     `json:"messageType"`
	Owner               string     `json:"owner"`
	LogGroup            string     `json:"logGroup"`
	LogStream           string     `json:"logStream"`
	SubscriptionFilters []string   `json:"subscriptionFilters"`
	LogEvents           []logEvent `json:"logEvents"`
}

type logEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

// deliveryBytes bounds the text in one record, so that it stays below the 1 MiB
// of Kinesis even if it cannot be compressed and has to be escaped.
const deliveryBytes = 128 << 10

// subscribed gives events to the group's filters, or throttles.
func (s *Server) subscribed(g *group, logStream string, events []inputEvent) error {
	if len(g.filters) == 0 || len(events) == 0 {
		return nil
	}
	parts := split(s.identify(events))
	if len(s.waiting)+len(parts)*len(g.filters) > cap(s.waiting) {
		return awsjson.Errorf("ThrottlingException", "Rate exceeded")
	}
	for _, part := range parts {
		for _, f := range g.filters {
			s.pending.Add(1)
			s.waiting <- s.dataMessage(f, logStream, part) // there is room, and only holders of the lock write
		}
	}
	return nil
}

func (s *Server) identify(events []inputEvent) []logEvent {
	out := make([]logEvent, len(events))
	for i, e := range events {
		out[i] = logEvent{s.id(e.Timestamp), e.Timestamp, e.Message}
	}
	return out
}

func split(events []logEvent) (parts [][]logEvent) {
	size, start := 0, 0
	for i, e := range events {
		if size += len(e.Message); size > deliveryBytes && i > start {
			parts = append(parts, events[start:i])
			start, size = i, len(e.Message)
		}
	}
	return append(parts, events[start:])
}

func (s *Server) dataMessage(f filter, logStream string, events []logEvent) delivery {
	key := logStream
	if f.Distribution == random {
		key = uuid.NewString()
	}
	return delivery{group: f.LogGroupName, stream: f.DestinationArn, key: key[:min(len(key), 256)], message: message{
		MessageType: "DATA_MESSAGE", Owner: s.cfg.Account, LogGroup: f.LogGroupName, LogStream: logStream,
		SubscriptionFilters: []string{f.FilterName}, LogEvents: events,
	}}
}

func (s *Server) controlMessage(f filter) delivery {
	return delivery{group: f.LogGroupName, stream: f.DestinationArn, key: uuid.NewString(), message: message{
		MessageType: "CONTROL_MESSAGE", Owner: "CloudwatchLogs", SubscriptionFilters: []string{},
		LogEvents: []logEvent{{Timestamp: s.cfg.Now().UnixMilli(), Message: "CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}},
	}}
}

// deliver works until ctx ends.
func (s *Server) deliver(ctx context.Context) {
	for {
		select {
		case d := <-s.waiting:
			s.insist(ctx, d)
			s.pending.Add(-1)
		case <-ctx.Done():
			return
		}
	}
}

// insist tries until the delivery is made, or cannot be.
func (s *Server) insist(ctx context.Context, d delivery) {
	for ctx.Err() == nil {
		err := s.attempt(ctx, d)
		if err == nil {
			return
		}
		if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
			s.undelivered.Add(1)
			return
		}
		_ = backoff.Sleep(ctx, s.cfg.Retry)
	}
}

var errInjected = errors.New("a failed delivery, injected by the fault plan")

func (s *Server) attempt(ctx context.Context, d delivery) error {
	f := fault.Fault{}
	if s.cfg.Fault != nil {
		f = s.cfg.Fault("Deliver", d.group)
	}
	switch f.Kind {
	case fault.Duplicate, fault.TimeoutAfter:
		if err := s.put(ctx, d); err != nil {
			return err
		}
	case fault.Late:
		_ = backoff.Sleep(ctx, f.Delay)
	case fault.None:
	default:
		return errInjected
	}
	return s.put(ctx, d)
}

func (s *Server) put(ctx context.Context, d delivery) error {
	data, err := compress(d.message)
	if err != nil {
		return err
	}
	_, err = s.cfg.Kinesis.PutRecord(ctx, &kinesis.PutRecordInput{StreamARN: &d.stream, PartitionKey: &d.key, Data: data})
	return err
}

func compress(m message) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if err := errors.Join(json.NewEncoder(w).Encode(m), w.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
