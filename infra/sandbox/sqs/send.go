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
	case e.MessageDeduplicationId != "":
		return invalid("The request includes a parameter that is not valid for this queue type: MessageDeduplicationId")
	case len(e.MessageSystemAttributes) > 0:
		return awsjson.NotImplemented("system attributes of messages")
	}
	return validateAttributes(e.MessageAttributes)
}

func (e *sendEntry) message(now time.Time) *message {
	return &message{id: uuid.NewString(), body: e.MessageBody, bodyMD5: bodyMD5(e.MessageBody), attributes: e.MessageAttributes, sent: now}
}

type sendOutput struct {
	MessageId              string
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
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
	m := e.message(now)
	if !q.add(m, now.Add(q.delayOf(e, f))) {
		return nil, errorWithCode("OverLimit", "OverLimit",
			"the sandbox keeps at most %d bytes in a queue, and %s has %d: receive and delete some, or raise Config.MaxQueueBytes", q.maxBytes, q.name, q.bytes)
	}
	return &sendOutput{m.id, m.bodyMD5, attributesMD5(m.attributes)}, nil
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
