package ship

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
)

// DeadLetters stores what cannot be shipped. Write returns which of the letters, by
// index, were not stored, and why.
type DeadLetters interface {
	Write(ctx context.Context, letters []DeadLetter) (failed []int, err error)
}

// DeadLetter is one event, or one record that could not be read.
type DeadLetter struct {
	Reason string `json:"reason"`
	// Shard and Sequence are its place in the stream, from which it can be read
	// again as long as the stream keeps it.
	Shard    string `json:"shard,omitempty"`
	Sequence string `json:"sequence"`
	Index    string `json:"index,omitempty"`
	ID       string `json:"id,omitempty"` // of the document
	Owner    string `json:"owner,omitempty"`
	Group    string `json:"logGroup,omitempty"`
	Stream   string `json:"logStream,omitempty"`
	EventID  string `json:"eventId,omitempty"`
	Time     int64  `json:"timestamp,omitempty"`
	Message  string `json:"message,omitempty"`
	// Data are the bytes of a record, or with Gzip the message, compressed.
	Data []byte `json:"data,omitempty"`
	Gzip bool   `json:"gzip,omitempty"`
	// Cut says that it did not fit, and the end of Message or Data is missing.
	Cut bool `json:"cut,omitempty"`
}

type letter struct {
	record int
	event  bool // of one event, not of a whole record
	DeadLetter
}

func undecodable(record int, r awsevents.KinesisEventRecord, err error) letter {
	return letter{record, false, DeadLetter{Reason: err.Error(), Shard: r.EventID, Sequence: r.Kinesis.SequenceNumber, Data: r.Kinesis.Data}}
}

func (x *entry) deadLetter(why string) letter {
	return letter{x.record, true, DeadLetter{
		Reason: why, Sequence: x.sequence, Index: x.item.Index, ID: x.item.ID, Owner: x.log.Owner,
		Group: x.log.LogGroup, Stream: x.log.LogStream, EventID: x.event.ID, Time: x.event.Timestamp, Message: x.event.Message,
	}}
}

// writeDeadLetters writes the dead letters. Those that were not written stay.
func (b *batch) writeDeadLetters() error {
	if len(b.letters) == 0 {
		return nil
	}
	all := make([]DeadLetter, len(b.letters))
	for i, l := range b.letters {
		all[i] = l.DeadLetter
	}
	failed, err := b.cfg.DeadLetters.Write(b.ctx, all)
	var left []letter
	for i, l := range b.letters {
		switch {
		case slices.Contains(failed, i):
			left = append(left, l)
		case l.event:
			b.report.Refused++
		default:
			b.report.Undecodable++
		}
	}
	b.letters = left
	if err != nil || len(left) > 0 {
		return fmt.Errorf("write dead letters: %d failed: %w", len(left), err)
	}
	return nil
}

// Queue writes dead letters to SQS. It is safe for concurrent use.
type Queue struct {
	Client QueueClient
	URL    string
}

// QueueClient is what a Queue needs. A *sqs.Client is one.
type QueueClient interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Limits of SQS: a message, and all of a batch together, where it was not raised.
const (
	maxMessage  = 256 << 10
	maxMessages = 10
)

// Write implements DeadLetters.
func (q *Queue) Write(ctx context.Context, letters []DeadLetter) (failed []int, err error) {
	var entries []types.SendMessageBatchRequestEntry
	size := 0
	var errs []error
	send := func() {
		if len(entries) == 0 {
			return
		}
		more, err := q.sendBatch(ctx, entries)
		failed, errs = append(failed, more...), append(errs, err)
		entries, size = nil, 0
	}
	for i, l := range letters {
		text, err := l.fit()
		if err != nil {
			failed, errs = append(failed, i), append(errs, err)
			continue
		}
		if len(entries) == maxMessages || size+len(text) > maxMessage {
			send()
		}
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(text))})
		size += len(text)
	}
	send()
	return failed, errors.Join(errs...)
}

func (q *Queue) sendBatch(ctx context.Context, entries []types.SendMessageBatchRequestEntry) (failed []int, err error) {
	out, err := q.Client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.URL, Entries: entries})
	kept := map[string]bool{}
	if err == nil {
		for _, ok := range out.Successful {
			kept[aws.ToString(ok.Id)] = true
		}
		for _, f := range out.Failed {
			err = errors.Join(err, fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message)))
		}
	}
	for _, e := range entries {
		if !kept[*e.Id] {
			i, _ := strconv.Atoi(*e.Id) // as it was made above
			failed = append(failed, i)
		}
	}
	return failed, err
}

// fit makes a message of a letter: whole, or compressed, or cut.
func (l DeadLetter) fit() ([]byte, error) {
	l.Reason = line.Cut(l.Reason, 1000)
	text, err := l.message()
	if err != nil || len(text) <= maxMessage {
		return text, err
	}
	if l.Message != "" {
		if l.Data, err = compressed(l.Message); err != nil {
			return nil, err
		}
		whole := l.Message
		l.Message, l.Gzip = "", true
		if text, err = l.message(); err != nil || len(text) <= maxMessage {
			return text, err
		}
		l.Message, l.Data, l.Gzip = line.Cut(whole, maxMessage/8), nil, false // each byte may be escaped to six
	}
	l.Data, l.Cut = l.Data[:min(len(l.Data), maxMessage/2)], true
	return l.message()
}

// message is JSON that SQS takes: two characters that a log may hold, it refuses
// ("SendMessage", InvalidMessageContents), and JSON does not escape them.
func (l DeadLetter) message() ([]byte, error) {
	text, err := json.Marshal(l)
	text = bytes.ReplaceAll(text, []byte("\ufffe"), []byte(`\ufffe`))
	return bytes.ReplaceAll(text, []byte("\uffff"), []byte(`\uffff`)), err
}

func compressed(message string) ([]byte, error) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(message))
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}
