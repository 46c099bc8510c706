package sqs

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// maxBatchBytes bounds a SendMessageBatch in all.
const maxBatchBytes = 1 << 20

// sendEntry is what a message is sent with.
type sendEntry struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]messageAttribute
	MessageSystemAttributes map[string]any
	MessageGroupId          string
	MessageDeduplicationId  string
}

func (e *sendEntry) validate(s settings) error {
	switch {
	case e.MessageBody == "":
		return errorWithCode("MissingRequiredParameterException", "MissingParameter", "The request must contain the parameter MessageBody.")
	case !validText(e.MessageBody):
		return errorWithCode("InvalidMessageContents", "InvalidMessageContents",
			"Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	case len(e.MessageBody)+sizeOf(e.MessageAttributes) > s.maxSize:
		return invalid("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", s.maxSize)
	case e.DelaySeconds != nil && (*e.DelaySeconds < 0 || *e.DelaySeconds > maxDelay):
		return invalid("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= %d.", *e.DelaySeconds, maxDelay)
	case s.fifo:
		if err := e.validateFIFO(s); err != nil {
			return err
		}
	case e.MessageDeduplicationId != "":
		return invalid("The request includes a parameter that is not valid for this queue type: MessageDeduplicationId")
	}
	if len(e.MessageSystemAttributes) > 0 {
		return awsjson.NotImplemented("system attributes of messages")
	}
	return validateAttributes(e.MessageAttributes)
}

func (e *sendEntry) message(now time.Time) *message {
	return &message{id: uuid.NewString(), body: e.MessageBody, bodyMD5: bodyMD5(e.MessageBody), attributes: e.MessageAttributes, sent: now,
		group: e.MessageGroupId, duplicates: e.MessageDeduplicationId}
}

type sendOutput struct {
	MessageId              string
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
	SequenceNumber         string `json:",omitempty"`
}

type sendMessageInput struct {
	queueRef
	sendEntry
}

func (s *Server) sendMessage(_ context.Context, in *sendMessageInput, f fault.Fault) (*sendOutput, error) {
	q, err := s.queue(in.name())
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.send(q, &in.sendEntry, f)
}

// send adds one message to a locked queue.
func (s *Server) send(q *queue, e *sendEntry, f fault.Fault) (*sendOutput, error) {
	if err := e.validate(q.settings); err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if q.fifo != nil {
		if before := q.duplicateOf(e, now); before != nil {
			return before, nil
		}
	}
	m := e.message(now)
	if !q.add(m, now.Add(q.delayOf(e, f))) {
		return nil, errorWithCode("OverLimit", "OverLimit",
			"the sandbox keeps at most %d bytes in a queue, and %s has %d: receive and delete some, or raise Config.MaxQueueBytes", q.maxBytes, q.name, q.bytes)
	}
	out := &sendOutput{MessageId: m.id, MD5OfMessageBody: m.bodyMD5, MD5OfMessageAttributes: attributesMD5(m.attributes)}
	if q.fifo != nil {
		out.SequenceNumber = sequenceNumber(m.number)
		q.fifo.sent[e.MessageDeduplicationId] = sentMessage{out, now}
	}
	return out, nil
}

func (q *queue) delayOf(e *sendEntry, f fault.Fault) time.Duration {
	delay := q.settings.delay
	if e.DelaySeconds != nil {
		delay = time.Duration(*e.DelaySeconds) * time.Second
	}
	if f.Kind == fault.Late {
		delay += f.Delay
	}
	return delay
}

type batchSendEntry struct {
	Id string
	sendEntry
}

type sendMessageBatchInput struct {
	queueRef
	Entries []batchSendEntry
}

type batchSendResult struct {
	Id string
	*sendOutput
}

func (s *Server) sendMessageBatch(_ context.Context, in *sendMessageBatchInput, f fault.Fault) (*batchOutput[batchSendResult], error) {
	q, err := s.queue(in.name())
	if err != nil {
		return nil, err
	}
	ids, total := make([]string, len(in.Entries)), 0
	for i := range in.Entries {
		ids[i] = in.Entries[i].Id
		total += len(in.Entries[i].MessageBody) + sizeOf(in.Entries[i].MessageAttributes)
	}
	if total > maxBatchBytes {
		return nil, errorWithCode("BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong",
			"Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, total)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return batch(ids, f, func(i int) (batchSendResult, error) {
		out, err := s.send(q, &in.Entries[i].sendEntry, f)
		return batchSendResult{ids[i], out}, err
	})
}

var errInjected = awsjson.Internal("an internal error, injected by the fault plan")
