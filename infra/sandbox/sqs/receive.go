package sqs

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// maxInFlight is how many messages of a standard queue may be received and
// not yet deleted.
const maxInFlight = 120_000

type receiveInput struct {
	queueRef
	AttributeNames              []string // the older name of the next one
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type receivedMessage struct {
	MessageId              string
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string           `json:",omitempty"`
	MD5OfMessageAttributes string                      `json:",omitempty"`
	MessageAttributes      map[string]messageAttribute `json:",omitempty"`
}

type receiveOutput struct {
	Messages []receivedMessage `json:",omitempty"`
}

// receive is one checked ReceiveMessage.
type receive struct {
	in         *receiveInput
	limit      int
	visibility time.Duration
	deadline   time.Time // real time
	fault      fault.Fault
}

func (s *Server) receiveMessage(ctx context.Context, in *receiveInput, f fault.Fault) (*receiveOutput, error) {
	q, err := s.queue(in.name())
	if err != nil {
		return nil, err
	}
	r, err := newReceive(in, q.current(), f)
	if err != nil {
		return nil, err
	}
	for {
		out, arrival, next, err := s.tryReceive(q, r)
		if err != nil || len(out.Messages) > 0 {
			return out, err
		}
		if !await(ctx, arrival, r.deadline, next) {
			return out, nil
		}
	}
}

func newReceive(in *receiveInput, s settings, f fault.Fault) (r receive, err error) {
	r = receive{in: in, fault: f}
	if r.limit, err = within("MaxNumberOfMessages", in.MaxNumberOfMessages, 1, 1, maxEntries); err != nil {
		return r, err
	}
	visibility, err := within("VisibilityTimeout", in.VisibilityTimeout, int(s.visibility/time.Second), 0, maxVisibility)
	if err != nil {
		return r, err
	}
	wait, err := within("WaitTimeSeconds", in.WaitTimeSeconds, int(s.wait/time.Second), 0, maxWait)
	r.visibility = time.Duration(visibility) * time.Second
	r.deadline = time.Now().Add(time.Duration(wait) * time.Second)
	return r, err
}

func within(name string, given *int, byDefault, lowest, highest int) (int, error) {
	if given == nil {
		return byDefault, nil
	}
	if *given < lowest || *given > highest {
		return 0, invalid("Value %d for parameter %s is invalid. Reason: Must be between %d and %d, if provided.", *given, name, lowest, highest)
	}
	return *given, nil
}

// await waits for a message to arrive or to become visible; false means that
// there is nothing to wait for any more.
func await(ctx context.Context, arrival <-chan struct{}, deadline time.Time, next time.Duration) bool {
	left := time.Until(deadline)
	if left <= 0 {
		return false
	}
	if next > 0 {
		left = min(left, next)
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-arrival:
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil // who went away takes no message along
}

// tryReceive takes what is visible now. Without any it returns what to wait
// for: an arrival, or the time until a known message becomes visible.
func (s *Server) tryReceive(q *queue, r receive) (*receiveOutput, <-chan struct{}, time.Duration, error) {
	out, dead := &receiveOutput{}, []*message(nil)
	q.mu.Lock()
	source, target := s.arn(q.name), q.settings.redrive.Target
	err := s.takeAll(q, r, out, &dead)
	arrival, next := q.arrival, time.Duration(0)
	if len(out.Messages) == 0 {
		next = q.nextChange(s.cfg.Now())
	}
	q.mu.Unlock()
	s.bury(dead, source, target, q)
	return out, arrival, next, err
}

// nextChange is how long it takes until a hidden message is visible; 0 without any.
func (q *queue) nextChange(now time.Time) time.Duration {
	if q.fifo == nil {
		if len(q.order) == 0 {
			return 0
		}
		return max(q.order[0].visibleAt.Sub(now), time.Millisecond)
	}
	next := time.Duration(0)
	for _, m := range q.fifo.inOrder { // those that are visible wait for these
		if left := m.visibleAt.Sub(now); left > 0 && (next == 0 || left < next) {
			next = left
		}
	}
	return next
}

func (s *Server) takeAll(q *queue, r receive, out *receiveOutput, dead *[]*message) error {
	now := s.cfg.Now()
	if q.isFull(now) {
		return errorWithCode("OverLimit", "OverLimit", "Too many messages in flight for queue %s.", q.name)
	}
	var bury func(*message)
	if q.settings.redrive.Target != "" {
		bury = func(m *message) { *dead = append(*dead, m) }
	}
	for _, m := range q.takeUpTo(r.limit, now, r.visibility, bury) {
		m.survives = r.fault.Kind == fault.Duplicate
		out.Messages = append(out.Messages, s.describe(q, m, r.in))
	}
	return nil
}

func (q *queue) takeUpTo(limit int, now time.Time, visibility time.Duration, dead func(*message)) (taken []*message) {
	if q.fifo != nil {
		return q.takeInOrder(now, limit, visibility, dead)
	}
	for len(taken) < limit {
		m := q.take(now, visibility, dead)
		if m == nil {
			break
		}
		taken = append(taken, m)
	}
	return taken
}

// isFull counts only where it can matter.
func (q *queue) isFull(now time.Time) bool {
	if len(q.messages) < maxInFlight {
		return false
	}
	_, inFlight, _ := q.count(now)
	return inFlight >= maxInFlight
}

// bury moves messages to a dead letter queue, or back where that is gone.
func (s *Server) bury(dead []*message, source, target string, q *queue) {
	if len(dead) == 0 {
		return
	}
	grave, err := s.queue(target)
	if err != nil {
		grave = q
	}
	grave.mu.Lock()
	defer grave.mu.Unlock()
	for _, m := range dead {
		m.source = source
		grave.add(m, s.cfg.Now())
	}
}

func (s *Server) describe(q *queue, m *message, in *receiveInput) receivedMessage {
	attributes := m.named(in.MessageAttributeNames)
	return receivedMessage{
		MD5OfMessageAttributes: attributesMD5(attributes), MessageAttributes: attributes,
		MessageId: m.id, ReceiptHandle: receipt{q.name, m.id, m.received}.String(), MD5OfBody: m.bodyMD5, Body: m.body,
		Attributes: m.systemAttributes(s.cfg.Account, append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)),
	}
}

func (m *message) systemAttributes(account string, names []string) map[string]string {
	all := map[string]string{
		"SenderId":                         account,
		"SentTimestamp":                    milliseconds(m.sent),
		"ApproximateReceiveCount":          strconv.Itoa(m.received),
		"ApproximateFirstReceiveTimestamp": milliseconds(m.first),
		"DeadLetterQueueSourceArn":         m.source,
		"MessageGroupId":                   m.group,
		"MessageDeduplicationId":           m.duplicates,
	}
	if m.duplicates != "" {
		all["SequenceNumber"] = sequenceNumber(m.number)
	}
	out := map[string]string{}
	for name, value := range all {
		if value != "" && (slices.Contains(names, name) || slices.Contains(names, "All")) {
			out[name] = value
		}
	}
	return out
}

func milliseconds(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
