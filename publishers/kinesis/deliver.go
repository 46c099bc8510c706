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

// deliver sends the packed request until each of its records is in the stream or has
// failed for good. Where the shard is closed or the publisher ends before, what is left
// goes back to the front of the backlog.
func (sw *shardWriter) deliver() {
	for failures := 0; len(sw.packer.records) > 0; {
		if sw.isRetired() || !sw.sleep(sw.limiter.Wait(time.Now())) {
			break
		}
		before := len(sw.packer.records)
		if sw.sendOnce(failures) {
			break
		}
		if failures++; len(sw.packer.records) < before {
			failures = 1
		}
		if len(sw.packer.records) > 0 && !sw.sleep(sw.p.cfg.retryDelays().Delay(failures-1)) {
			break
		}
	}
	sw.requeueFirst(sw.packer.results())
}

func (sw *shardWriter) isRetired() bool {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	return sw.retired
}

// sendOnce sends the request and keeps in the packer what has to be sent again. It
// reports whether that has to be packed anew, because the shards have changed.
func (sw *shardWriter) sendOnce(failures int) (repack bool) {
	answers, err := sw.putRecords(failures > 0)
	if err != nil {
		sw.handleRequestError(err)
		return false
	}
	misplaced := sw.sortResults(answers)
	for _, s := range misplaced {
		sw.resendMisplaced(s)
	}
	return len(misplaced) > 0
}

func (sw *shardWriter) putRecords(again bool) ([]putrecords.Answer, error) {
	records := int64(len(sw.packer.records))
	sw.count(func(c *Counts) {
		c.Requests++
		if again {
			c.Retries += records
		}
	})
	sw.request.Reset(sw.p.cfg.Stream)
	for _, rec := range sw.packer.records {
		rec.write(&sw.request, sw.shard.firstText)
	}
	ctx, cancel := context.WithTimeout(sw.p.ctx, sw.p.cfg.AttemptTimeout)
	defer cancel()
	defer sw.request.Reset(sw.p.cfg.Stream) // it refers to events, which may be completed soon
	return sw.request.Send(ctx, sw.p.cfg.Client, oneAttempt)
}

// handleRequestError handles an error of the whole request.
func (sw *shardWriter) handleRequestError(err error) {
	explained := sw.p.target.explain("put records into", err)
	what := classify(err)
	sw.noteFailure(explained, func(c *Counts) {
		switch what {
		case outcomeThrottled:
			c.Throttles++
		case outcomeUnknown:
			c.UnknownOutcomes++
		case outcomeRefused:
			c.Refused++
		}
	})
	switch {
	case what == outcomeThrottled:
		sw.adjustRate(0, 0, true)
	case what == outcomeUnknown:
		markMaybeSent(sw.packer.results())
	case !sw.p.cfg.RetryRefused:
		sw.failAll(sw.packer.results(), explained)
		sw.packer.replaceRecords(nil)
	}
}

// noteFailure stores err as the last failure.
func (sw *shardWriter) noteFailure(err error, count func(*Counts)) {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	sw.last = err
	sw.countLocked(count)
}

// adjustRate adapts the rate limit to the outcome of a request.
func (sw *shardWriter) adjustRate(bytes, records int, throttled bool) {
	now := time.Now()
	if records > 0 {
		sw.limiter.Accepted(now, pace.Share(bytes, records))
	}
	if throttled {
		sw.limiter.Throttled(now)
	}
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	sw.rateLimit = sw.limiter.Limit()
}

// misplacedRecord is a record that landed in another shard than the writer's.
type misplacedRecord struct {
	record *record
	shard  string
}

// sortResults completes the records that are in the stream, keeps those that were
// refused for the next attempt, and returns those that are in an unexpected shard.
func (sw *shardWriter) sortResults(answers []putrecords.Answer) (misplaced []misplacedRecord) {
	var again, done []*record
	bytes, throttled := 0, false
	for i, rec := range sw.packer.records {
		a := &answers[i]
		if a.ErrorCode != "" || a.SequenceNumber == "" {
			throttled = sw.handleRecordError(a) || throttled
			again = append(again, rec)
			continue
		}
		bytes += rec.bytes
		rec.setPositions(a.SequenceNumber)
		if a.ShardID != sw.shard.id {
			misplaced = append(misplaced, misplacedRecord{rec, a.ShardID})
		} else {
			done = append(done, rec)
		}
	}
	sw.countRecords(len(done)+len(misplaced), len(again) == 0)
	sw.adjustRate(bytes, len(done)+len(misplaced), throttled)
	for _, rec := range done {
		sw.complete(rec.results)
	}
	sw.packer.replaceRecords(again)
	sw.packer.recycle(done)
	return misplaced
}

const codeThrottled = "ProvisionedThroughputExceededException"

// handleRecordError notes why a record was refused, and reports whether it was throttled.
func (sw *shardWriter) handleRecordError(a *putrecords.Answer) (throttled bool) {
	err := fmt.Errorf("publishers/kinesis: a record was refused by shard %s of %s: %s: %s",
		sw.shard.id, sw.p.target.text, a.ErrorCode, a.ErrorMessage)
	throttled = a.ErrorCode == codeThrottled
	sw.noteFailure(err, func(c *Counts) {
		if throttled {
			c.Throttles++
		}
	})
	return throttled
}

func (sw *shardWriter) countRecords(n int, well bool) {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	sw.countLocked(func(c *Counts) { c.Records += int64(n) })
	if well {
		sw.last = nil
	}
}
