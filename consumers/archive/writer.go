package archive

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
)

// Writer archives the batches of an event source mapping. It is safe for concurrent use.
type Writer struct {
	// Store that the archive is in.
	Store Store
	// Observe is called with the figures of each batch, see [consumers.EMF]. May be nil.
	Observe func(context.Context, consumers.Report)
}

var shardID = regexp.MustCompile(`^` + shardPattern + `$`)

// HandleKinesis writes a batch. What it does not report as failed is durable in the store:
// the answer names the first record that is not. Nothing is decoded, so no event can be one
// that it cannot handle.
//
// An error is returned, and nothing was written, for a batch with a record that has no
// sequence number or no shard.
func (w *Writer) HandleKinesis(ctx context.Context, e awsevents.KinesisEvent) (awsevents.KinesisEventResponse, error) {
	var response awsevents.KinesisEventResponse
	records, err := unpack(e)
	if err != nil {
		return response, fmt.Errorf("archive: the whole batch is refused: %w", err)
	}
	report := consumers.Report{Consumer: "archive", Records: len(records)}
	for _, r := range records {
		report.Messages += len(r.Events)
	}
	for len(records) > 0 {
		n := lengthOfPart(records)
		name, data := seal(records[:n])
		if err := w.Store.Put(ctx, name, data); err != nil {
			response.BatchItemFailures = []awsevents.KinesisBatchItemFailure{{ItemIdentifier: records[0].Sequence}}
			report.Errors = append(report.Errors, err)
			break
		}
		now := time.Now()
		for _, r := range records[:n] {
			report.Applied += len(r.Events)
			for range r.Events {
				report.Lags = append(report.Lags, now.Sub(r.Arrived))
			}
		}
		records = records[n:]
	}
	report.At, report.Failed = time.Now(), report.Messages-report.Applied
	if w.Observe != nil {
		w.Observe(ctx, report)
	}
	return response, nil
}

// unpack refuses what could not be named, or not be reported.
func unpack(e awsevents.KinesisEvent) ([]Record, error) {
	records := make([]Record, 0, len(e.Records))
	for i, r := range e.Records {
		shard, _, _ := strings.Cut(r.EventID, ":")
		n := r.Kinesis.SequenceNumber
		if !shardID.MatchString(shard) || n == "" || len(n) > 64 || strings.Trim(n, "0123456789") != "" {
			return nil, fmt.Errorf("record %d of %d has event id %q and sequence number %q: want a shard, and digits", i+1, len(e.Records), r.EventID, n)
		}
		records = append(records, NewRecord(shard, r.Kinesis))
	}
	return records, nil
}

// lengthOfPart is how many of the first records make an object: of one shard, one day, in
// order.
func lengthOfPart(records []Record) int {
	first := records[0]
	for i, r := range records[1:] {
		if r.Shard != first.Shard || r.Arrived.Format(dayFormat) != first.Arrived.Format(dayFormat) || !records[i].Position(0).Before(r.Position(0)) {
			return i + 1
		}
	}
	return len(records)
}
