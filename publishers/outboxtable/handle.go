package outboxtable

import (
	"context"
	"errors"
	"fmt"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Handle relays the keys that a batch of the table's stream has insertions of,
// for an event source mapping that has ReportBatchItemFailures. It returns
// before the function's deadline, when every event it enqueued has its
// receipt. The response names the lowest sequence number that is not complete: its
// key was claimed by another relay, failed, or was not reached in time. Other keys
// are relayed regardless, and need nothing when their records are delivered again.
//
// An error means the whole batch: a record without a key of this table was
// delivered, or [ErrInFlight].
func (r *Relay) Handle(ctx context.Context, e awsevents.DynamoDBEvent) (awsevents.DynamoDBEventResponse, error) {
	none := awsevents.DynamoDBEventResponse{BatchItemFailures: []awsevents.DynamoDBBatchItemFailure{}}
	keys, sequences, err := insertedKeys(e)
	if err != nil {
		return none, fmt.Errorf("outboxtable: batch of %d records: %w", len(e.Records), err)
	}
	work, cancel := r.workTime(ctx)
	defer cancel()
	results := r.drainAll(work, keys)
	if r.cfg.Observe != nil {
		rep := Report{Table: r.cfg.Table, At: r.cfg.Now(), Records: len(e.Records)}
		rep.addResults(results)
		r.cfg.Observe(ctx, rep)
	}
	return responseOf(none, sequences, results)
}

// insertedKeys lists the keys that got items, each once, with the sequence number of
// the first record of the key.
func insertedKeys(e awsevents.DynamoDBEvent) (keys, sequences []string, err error) {
	seen := map[string]bool{}
	for i, record := range e.Records {
		if record.EventName != string(awsevents.DynamoDBOperationTypeInsert) {
			continue
		}
		pk, ok := record.Change.Keys[dynamo.AttrPK]
		if !ok || pk.DataType() != awsevents.DataTypeString || record.Change.SequenceNumber == "" {
			return nil, nil, fmt.Errorf("record %d (%s) has no text key %q or no sequence number: is this the stream of an outbox table?",
				i+1, record.EventSourceArn, dynamo.AttrPK)
		}
		if key := pk.String(); !seen[key] {
			seen[key] = true
			keys, sequences = append(keys, key), append(sequences, record.Change.SequenceNumber)
		}
	}
	return keys, sequences, nil
}

// workTime is ctx less the margin in which nothing is published.
func (r *Relay) workTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(r.cfg.Margin, time.Until(deadline)/5)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// responseOf names the first key that failed; keys are in the order of the batch.
func responseOf(none awsevents.DynamoDBEventResponse, sequences []string, results []keyResult) (awsevents.DynamoDBEventResponse, error) {
	out := none
	for i, res := range results {
		if errors.Is(res.err, ErrInFlight) {
			return none, res.err
		}
		if res.err != nil && len(out.BatchItemFailures) == 0 {
			out.BatchItemFailures = append(out.BatchItemFailures, awsevents.DynamoDBBatchItemFailure{ItemIdentifier: sequences[i]})
		}
	}
	return out, nil
}
