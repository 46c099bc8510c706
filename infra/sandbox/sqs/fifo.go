package sqs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// deduplicationInterval is for how long a FIFO queue accepts a message that was
// sent before without delivering it (developer guide, "Exactly-once processing
// in Amazon SQS").
const deduplicationInterval = 5 * time.Minute

// fifoSuffix ends the name of a FIFO queue, which counts among its 80 letters.
const fifoSuffix = ".fifo"

// fifo is what a queue knows that hands out each group's messages in order.
type fifo struct {
	inOrder []*message
	sent    map[string]sentMessage // by deduplication id
}

type sentMessage struct {
	out *sendOutput
	at  time.Time
}

var groupForm = regexp.MustCompile(`^[[:alnum:][:punct:]]{1,128}$`)

// validateFIFO checks what a message of a FIFO queue needs, and fills in its
// deduplication id (API reference, SendMessage).
func (e *sendEntry) validateFIFO(s settings) error {
	switch {
	case e.MessageGroupId == "":
		return errorWithCode("MissingRequiredParameterException", "MissingParameter", "The request must contain the parameter MessageGroupId.")
	case e.DelaySeconds != nil && *e.DelaySeconds != 0:
		return invalid("Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.",
			*e.DelaySeconds)
	case e.MessageDeduplicationId == "" && !s.contentDeduplicated:
		return invalid("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case e.MessageDeduplicationId == "":
		sum := sha256.Sum256([]byte(e.MessageBody))
		e.MessageDeduplicationId = hex.EncodeToString(sum[:])
	}
	for name, id := range map[string]string{"MessageGroupId": e.MessageGroupId, "MessageDeduplicationId": e.MessageDeduplicationId} {
		if !groupForm.MatchString(id) {
			return invalid("Value %s for parameter %s is invalid. Reason: It can be alphanumeric and punctuation, and 1 to 128 in length.", id, name)
		}
	}
	return nil
}

// duplicateOf returns the answer to the send of the same message before, or nil.
func (q *queue) duplicateOf(e *sendEntry, now time.Time) *sendOutput {
	for id, s := range q.fifo.sent {
		if now.Sub(s.at) >= deduplicationInterval {
			delete(q.fifo.sent, id)
		}
	}
	return q.fifo.sent[e.MessageDeduplicationId].out
}

// takeInOrder is take for all messages of a receive from a FIFO queue: of each
// group the first ones, unless one of the group is hidden ("FIFO queue delivery
// logic").
func (q *queue) takeInOrder(now time.Time, limit int, visibility time.Duration, dead func(*message)) []*message {
	var taken []*message
	hidden := map[string]bool{}
	for i := 0; i < len(q.fifo.inOrder) && len(taken) < limit; {
		m := q.fifo.inOrder[i]
		hidden[m.group] = hidden[m.group] || m.visibleAt.After(now)
		switch {
		case q.expired(m, now), !hidden[m.group] && q.isDead(m, dead):
			q.remove(m)
			if !q.expired(m, now) {
				dead(m)
			}
			continue
		case !hidden[m.group]:
			q.receive(m, now, visibility)
			taken = append(taken, m)
		}
		i++
	}
	return taken
}

func sequenceNumber(n uint64) string { return fmt.Sprintf("%020d", n) }

func isFIFO(name string) bool { return strings.HasSuffix(name, fifoSuffix) }
