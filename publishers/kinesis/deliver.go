package kinesis

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// oneAttempt switches the SDK's retries off: what is sent again, and when, is
// decided here.
func oneAttempt(o *awskinesis.Options) { o.Retryer = aws.NopRetryer{} }

// deliver sends the packed request until each of its records is in the stream
// or given up. What it leaves, when the shard is closed or the
// publisher ends, goes back in front of the backlog.
func (l *lane) deliver() {
	for failures := 0; len(l.packer.records) > 0; {
		if l.isRetired() || !l.pause(l.learnt.Wait(time.Now())) {
			break
		}
		before := len(l.packer.records)
		if l.attempt(failures) {
			break
		}
		if failures++; len(l.packer.records) < before {
			failures = 1
		}
		if len(l.packer.records) > 0 && !l.pause(l.p.cfg.retryDelays().Delay(failures-1)) {
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
	answers, err := l.put(failures > 0)
	if err != nil {
		l.requestFailed(err)
		return false
	}
	strays := l.sortOut(answers)
	for _, s := range strays {
		l.rehome(s)
	}
	return len(strays) > 0
}

func (l *lane) put(again bool) ([]putrecords.Answer, error) {
	records := int64(len(l.packer.records))
	l.tell(func(c *Counts) {
		c.Requests++
		if again {
			c.Retries += records
		}
	})
	l.request.Reset(l.p.cfg.Stream)
	for _, rec := range l.packer.records {
		rec.write(&l.request, l.shard.firstText)
	}
	ctx, cancel := context.WithTimeout(l.p.ctx, l.p.cfg.AttemptTimeout)
	defer cancel()
	defer l.request.Reset(l.p.cfg.Stream) // it refers to events, which may be settled soon
	return l.request.Send(ctx, l.p.cfg.Client, oneAttempt)
}

// requestFailed decides about all records of a request at once.
func (l *lane) requestFailed(err error) {
	explained := l.p.place.explain("put records into", err)
	what := classify(err)
	l.failed(explained, func(c *Counts) {
		switch what {
		case outcomeThrottled:
			c.Throttles++
		case outcomeUnknown:
			c.Doubts++
		case outcomeRefused:
			c.Refused++
		}
	})
	switch {
	case what == outcomeThrottled:
		l.learn(0, 0, true)
	case what == outcomeUnknown:
		markDoubt(l.packer.results())
	case !l.p.cfg.Insist:
		l.fail(l.packer.results(), explained)
		l.packer.keep(nil)
	}
}

// failed remembers err as the last failure.
func (l *lane) failed(err error, count func(*Counts)) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.last = err
	l.count(count)
}

// learn tells the rate what became of a request.
func (l *lane) learn(bytes, records int, throttled bool) {
	now := time.Now()
	if records > 0 {
		l.learnt.Took(now, pace.Share(bytes, records))
	}
	if throttled {
		l.learnt.Refused(now)
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.rate = l.learnt.Limit()
}

// stray is a record that landed in another shard than its lane's.
type stray struct {
	record *record
	shard  string
}

// sortOut settles the records that are in the stream, keeps those that were
// refused, and returns those that are in an unexpected shard.
func (l *lane) sortOut(answers []putrecords.Answer) (strays []stray) {
	var again, done []*record
	bytes, throttled := 0, false
	for i, rec := range l.packer.records {
		a := &answers[i]
		if a.ErrorCode != "" || a.SequenceNumber == "" {
			throttled = l.recordFailed(a) || throttled
			again = append(again, rec)
			continue
		}
		bytes += rec.bytes
		rec.locate(a.SequenceNumber)
		if a.ShardID != l.shard.id {
			strays = append(strays, stray{rec, a.ShardID})
		} else {
			done = append(done, rec)
		}
	}
	l.countRecords(len(done)+len(strays), len(again) == 0)
	l.learn(bytes, len(done)+len(strays), throttled)
	for _, rec := range done {
		l.settle(rec.results)
	}
	l.packer.keep(again)
	l.packer.drop(done)
	return strays
}

const codeThrottled = "ProvisionedThroughputExceededException"

// recordFailed tells whether it went too fast.
func (l *lane) recordFailed(a *putrecords.Answer) (throttled bool) {
	err := fmt.Errorf("publishers/kinesis: a record was refused by shard %s of %s: %s: %s",
		l.shard.id, l.p.place.text, a.ErrorCode, a.ErrorMessage)
	throttled = a.ErrorCode == codeThrottled
	l.failed(err, func(c *Counts) {
		if throttled {
			c.Throttles++
		}
	})
	return throttled
}

func (l *lane) countRecords(n int, well bool) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.count(func(c *Counts) { c.Records += int64(n) })
	if well {
		l.last = nil
	}
}
