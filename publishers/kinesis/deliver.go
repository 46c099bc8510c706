package kinesis

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// oneAttempt switches the SDK's retries off: what is sent again, and when, is
// decided here.
func oneAttempt(o *awskinesis.Options) { o.Retryer = aws.NopRetryer{} }

// deliver sends the packed request until each of its records is in the stream
// or refused for good. What it leaves, when the shard is closed or the
// publisher ends, goes back in front of the backlog.
func (l *lane) deliver() {
	for failures := 0; len(l.packer.records) > 0; {
		if l.isRetired() || !l.pace(l.packer.bytes, len(l.packer.records)) {
			break
		}
		before := len(l.packer.records)
		if l.attempt(failures) {
			break
		}
		if failures++; len(l.packer.records) < before {
			failures = 1
		}
		if len(l.packer.records) > 0 && !sleep(l.p.ctx, l.p.backoff(failures-1)) {
			break
		}
	}
	l.putBack(l.packer.results())
}

func (l *lane) isRetired() bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.retired
}

// attempt sends once and leaves in the packer what has to be sent again. It
// tells whether that has to be packed anew, because the shards changed.
func (l *lane) attempt(failures int) (repack bool) {
	out, err := l.put(failures > 0)
	if err != nil {
		l.requestFailed(err)
		return false
	}
	strays := l.sortOut(out.Records)
	for _, s := range strays {
		l.rehome(s)
	}
	return len(strays) > 0
}

var errShortAnswer = errors.New("the answer does not have one result for each record")

func (l *lane) put(again bool) (*awskinesis.PutRecordsOutput, error) {
	l.p.countRequest(len(l.packer.records), again)
	ctx, cancel := context.WithTimeout(l.p.ctx, l.p.cfg.AttemptTimeout)
	defer cancel()
	out, err := l.p.cfg.Client.PutRecords(ctx, &awskinesis.PutRecordsInput{
		StreamName: &l.p.cfg.Stream,
		Records:    l.packer.entries(),
	}, oneAttempt)
	if err == nil && len(out.Records) != len(l.packer.records) {
		err = errShortAnswer
	}
	return out, err
}

func (p *Publisher) countRequest(records int, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted.Requests++
	if again {
		p.counted.Retries += int64(records)
	}
}

// requestFailed decides about all records of a request at once.
func (l *lane) requestFailed(err error) {
	explained := l.p.place.explain("put records into", err)
	l.noteFailure(explained, func(s *Stats) {
		switch classify(err) {
		case outcomeThrottled:
			s.Throttles++
		case outcomeUnknown:
			s.Doubts++
		}
	})
	switch classify(err) {
	case outcomeRefused:
		l.p.fail(l.packer.results(), explained)
		l.packer.keep(nil)
	case outcomeUnknown:
		for _, r := range l.packer.results() {
			r.doubt = true
		}
	}
}

func (l *lane) noteFailure(err error, count func(*Stats)) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.last = err
	count(&l.p.counted)
}

// stray is a record that landed in another shard than its lane's.
type stray struct {
	record *record
	shard  string
}

// sortOut settles the records that are in the stream, keeps those that were
// refused, and returns those that are in an unexpected shard.
func (l *lane) sortOut(answers []types.PutRecordsResultEntry) (strays []stray) {
	var kept []*Result
	var again, done []*record
	for i, rec := range l.packer.records {
		switch a := answers[i]; {
		case aws.ToString(a.ErrorCode) != "" || a.SequenceNumber == nil:
			l.recordFailed(a)
			again = append(again, rec)
		case aws.ToString(a.ShardId) != l.shard.id:
			rec.locate(*a.SequenceNumber)
			strays = append(strays, stray{rec, aws.ToString(a.ShardId)})
		default:
			rec.locate(*a.SequenceNumber)
			kept = append(kept, rec.results...)
			done = append(done, rec)
		}
	}
	l.countRecords(len(done)+len(strays), len(again) == 0)
	l.p.settle(kept)
	l.packer.keep(again)
	l.packer.drop(done)
	return strays
}

func (l *lane) recordFailed(a types.PutRecordsResultEntry) {
	code := aws.ToString(a.ErrorCode)
	err := fmt.Errorf("publishers/kinesis: a record was refused by shard %s of %s: %s: %s",
		l.shard.id, l.p.place.text, code, aws.ToString(a.ErrorMessage))
	l.noteFailure(err, func(s *Stats) {
		if code == "ProvisionedThroughputExceededException" {
			s.Throttles++
		}
	})
}

func (l *lane) countRecords(n int, well bool) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.counted.Records += int64(n)
	if well {
		l.last = nil
	}
}
