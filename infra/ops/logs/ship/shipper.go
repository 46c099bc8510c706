package ship

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/infra/opensearch"
	"github.com/banyan-fig/banyan/infra/ops/logs/internal/line"
)

// Bulk creates documents and returns the status of each.
type Bulk interface {
	Bulk(ctx context.Context, items []opensearch.Item) ([]opensearch.Status, error)
}

// Shipper ships batches. It keeps nothing between them but the time of its last
// report, and is safe for concurrent use.
type Shipper struct {
	cfg    Config
	limits line.Limits

	mu       sync.Mutex
	reported time.Time
}

// New makes a shipper. The error is Config.Validate's.
func New(cfg Config) (*Shipper, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Shipper{cfg: cfg, limits: cfg.limits()}, nil
}

// maxSequence is more digits than a sequence number of Kinesis has.
const maxSequence = 64

// HandleKinesis ships one batch of an event source mapping that has
// ReportBatchItemFailures, and names the first record that is not done. An
// error means the whole batch: a record has no sequence number to be named by.
func (s *Shipper) HandleKinesis(ctx context.Context, e awsevents.KinesisEvent) (awsevents.KinesisEventResponse, error) {
	none := awsevents.KinesisEventResponse{BatchItemFailures: []awsevents.KinesisBatchItemFailure{}}
	for i, r := range e.Records {
		if n := r.Kinesis.SequenceNumber; n == "" || len(n) > maxSequence || strings.Trim(n, "0123456789") != "" {
			return none, fmt.Errorf("log-shipper: record %d of %d has %q for a sequence number: the whole batch is refused", i+1, len(e.Records), n)
		}
	}
	work, cancel := s.workTime(ctx)
	defer cancel()
	b := &batch{Shipper: s, ctx: work, ids: map[string]bool{}}
	b.report.Records = len(e.Records)
	undone, err := b.shipRecords(e.Records)
	s.reportBatch(ctx, b, err)
	if undone < 0 {
		return none, nil
	}
	none.BatchItemFailures = append(none.BatchItemFailures,
		awsevents.KinesisBatchItemFailure{ItemIdentifier: e.Records[undone].Kinesis.SequenceNumber})
	return none, nil
}

// workTime is ctx less the margin.
func (s *Shipper) workTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(s.cfg.Margin, time.Until(deadline)/5)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// batch is the work on one batch.
type batch struct {
	*Shipper
	ctx     context.Context // ends when nothing more is to be tried
	waiting []*entry        // for the next request, in order
	ids     map[string]bool // of those that wait
	bytes   int
	letters []letter // of what cannot be shipped
	gaps    gaps
	report  Report
}

// shipRecords goes through the records in order and returns the index of the first that
// is not done, -1 if all are, and why.
func (b *batch) shipRecords(records []awsevents.KinesisEventRecord) (undone int, err error) {
	for i, r := range records {
		if err := b.addRecord(i, r); err != nil {
			b.report.LeftRecords = len(records) - i
			return b.firstPending(i), err
		}
	}
	if err := b.flush(); err != nil {
		return b.firstPending(len(records) - 1), err
	}
	return -1, nil
}

// firstPending is the record of the first entry that waits, or i.
func (b *batch) firstPending(i int) int {
	for _, x := range b.waiting {
		i = min(i, x.record)
	}
	for _, l := range b.letters {
		i = min(i, l.record)
	}
	return i
}

// addRecord takes one apart, and ships whenever there is enough for a request.
func (b *batch) addRecord(i int, r awsevents.KinesisEventRecord) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	log, err := line.Decode(r.Kinesis.Data)
	switch {
	case err != nil:
		b.letters = append(b.letters, undecodable(i, r, err))
		if len(b.letters) < maxLetters {
			return nil
		}
		return b.flush()
	case log.MessageType == line.Control:
		b.report.Control++
		return nil
	}
	b.report.Events += len(log.LogEvents)
	if slices.Contains(b.cfg.Own, log.LogGroup) {
		b.report.Dropped += len(log.LogEvents)
		return nil
	}
	o := origin{record: i, sequence: r.Kinesis.SequenceNumber, arrived: r.Kinesis.ApproximateArrivalTimestamp.Time, log: log}
	o.log.LogEvents = nil
	for n, e := range log.LogEvents {
		if err := b.add(b.entry(o, n, e)); err != nil {
			b.report.Pending += len(log.LogEvents) - n - 1
			return err
		}
	}
	return nil
}

// add puts an entry into the next request, after sending one that it would make
// too large. A second copy in one request is left out: if the first were put off,
// the second would take its place, behind lines that are later.
func (b *batch) add(x *entry) error {
	if b.ids[x.item.ID] {
		b.report.Doubled++
		return nil
	}
	b.ids[x.item.ID] = true
	b.waiting = append(b.waiting, x)
	b.bytes += x.item.Size()
	if x.cut {
		b.report.Truncated++
	}
	if len(b.waiting) > 1 && b.bytes > b.cfg.MaxBytes {
		return b.sendWaiting(len(b.waiting) - 1)
	}
	if len(b.waiting) >= b.cfg.MaxDocuments || b.bytes > b.cfg.MaxBytes {
		return b.flush()
	}
	return nil
}

// maxLetters bounds the dead letters that are held.
const maxLetters = 50

// flush sends all that waits, and writes the dead letters.
func (b *batch) flush() error {
	if err := b.sendWaiting(len(b.waiting)); err != nil {
		return err
	}
	return b.writeDeadLetters()
}
