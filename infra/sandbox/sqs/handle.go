package sqs

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// receipt is what a receipt handle says: the nth receive of a message.
type receipt struct {
	queue, message string
	received       int
}

func (r receipt) String() string {
	return base64.StdEncoding.EncodeToString([]byte(r.queue + "/" + r.message + "/" + strconv.Itoa(r.received)))
}

func parseReceipt(handle string) (receipt, bool) {
	plain, err := base64.StdEncoding.DecodeString(handle)
	parts := strings.Split(string(plain), "/")
	if err != nil || len(parts) != 3 {
		return receipt{}, false
	}
	n, err := strconv.Atoi(parts[2])
	return receipt{parts[0], parts[1], n}, err == nil && n > 0
}

// find returns the message a handle is for, or nil if that was deleted, or
// received again since.
func (q *queue) find(handle string) (*message, error) {
	r, ok := parseReceipt(handle)
	if !ok || r.queue != q.name {
		return nil, errorWithCode("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
			"The input receipt handle %q is not a valid receipt handle of queue %s.", handle, q.name)
	}
	if m := q.messages[r.message]; m != nil && m.received == r.received {
		return m, nil
	}
	return nil, nil
}

// delete is successful for what is no longer there.
func (q *queue) delete(handle string, now time.Time) error {
	m, err := q.find(handle)
	switch {
	case m == nil:
	case m.survives:
		m.survives = false
		q.move(m, now)
		q.wake()
	default:
		q.remove(m)
	}
	return err
}

// changeVisibility counts from now; the whole time invisible is bounded.
func (q *queue) changeVisibility(handle string, seconds int, now time.Time) error {
	if seconds < 0 || seconds > maxVisibility {
		return invalid("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be between 0 and %d.", seconds, maxVisibility)
	}
	m, err := q.find(handle)
	if err != nil {
		return err
	}
	if m == nil || !m.inFlight || !m.visibleAt.After(now) {
		return errorWithCode("MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight",
			"The message referred to is not in flight: it was deleted, or became visible again.")
	}
	q.move(m, now.Add(time.Duration(seconds)*time.Second))
	if seconds == 0 {
		q.wake()
	}
	return nil
}

type handleEntry struct {
	Id                string
	ReceiptHandle     string
	VisibilityTimeout int
}

type handleBatchInput struct {
	queueRef
	Entries []handleEntry
}

func (s *Server) deleteMessageBatch(_ context.Context, in *handleBatchInput, f fault.Fault) (*batchOutput[batchResult], error) {
	return s.eachHandle(in, f, func(q *queue, e handleEntry) error { return q.delete(e.ReceiptHandle, s.cfg.Now()) })
}

func (s *Server) changeMessageVisibilityBatch(_ context.Context, in *handleBatchInput, f fault.Fault) (*batchOutput[batchResult], error) {
	return s.eachHandle(in, f, func(q *queue, e handleEntry) error {
		return q.changeVisibility(e.ReceiptHandle, e.VisibilityTimeout, s.cfg.Now())
	})
}

func (s *Server) eachHandle(in *handleBatchInput, f fault.Fault, do func(*queue, handleEntry) error) (*batchOutput[batchResult], error) {
	q, err := s.queue(in.name())
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(in.Entries))
	for i, e := range in.Entries {
		ids[i] = e.Id
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return batch(ids, f, func(i int) (batchResult, error) { return batchResult{ids[i]}, do(q, in.Entries[i]) })
}
