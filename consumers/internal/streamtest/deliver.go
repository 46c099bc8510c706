package streamtest

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
)

// Delivery says how roughly batches are delivered.
type Delivery struct {
	Seed uint64
	// Rough repeats batches in whole and late, and cuts invocations short.
	Rough bool
	// Batch is the largest batch; 0: 8.
	Batch int
}

// Deliver delivers every shard to invocations of the consumer of its own, at the same
// time, until every event is done. Then, when it is rough, it delivers a part of each
// shard once more.
func (d Delivery) Deliver(t testing.TB, w *World, c *consumers.Consumer) {
	t.Helper()
	var wg sync.WaitGroup
	for i, records := range w.Shards {
		m := mapping{t: t, d: d, c: c, records: records, random: rand.New(rand.NewPCG(d.Seed, uint64(100+i)))}
		wg.Go(m.run)
	}
	wg.Wait()
}

// mapping is the event source mapping of one shard.
type mapping struct {
	t       testing.TB
	d       Delivery
	c       *consumers.Consumer
	records []awsevents.KinesisEventRecord
	random  *rand.Rand
}

// maxDeliveries is how often the same record may be delivered.
const maxDeliveries = 200

func (m mapping) run() {
	size := cmp.Or(m.d.Batch, 8)
	for at, tries := 0, 0; at < len(m.records); tries++ {
		if tries > maxDeliveries {
			m.t.Errorf("record %d of %d is not done after %d deliveries", at, len(m.records), tries)
			return
		}
		batch := m.records[at:min(at+1+m.random.IntN(size), len(m.records))]
		done := m.invoke(batch, tries < 3 && m.random.IntN(4) == 0)
		if m.d.Rough && m.random.IntN(6) == 0 {
			continue // the answer was lost: the whole batch once more
		}
		if done > 0 {
			at, tries = at+done, 0
		}
		if m.d.Rough && m.random.IntN(6) == 0 {
			m.replay(at)
		}
	}
	if m.d.Rough {
		m.replay(len(m.records))
	}
}

// replay delivers some records before record at again.
func (m mapping) replay(at int) {
	if at == 0 {
		return
	}
	from := m.random.IntN(at)
	m.invoke(m.records[from:min(at, from+10)], false)
}

// invoke returns how many records of the batch are done. Short invocations end in the
// middle of their work.
func (m mapping) invoke(batch []awsevents.KinesisEventRecord, short bool) int {
	limit := 30 * time.Second
	if m.d.Rough && short {
		limit = time.Duration(1+m.random.IntN(40)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	out, err := m.c.HandleKinesis(ctx, awsevents.KinesisEvent{Records: batch})
	if err != nil {
		m.t.Errorf("the whole batch failed: %v", err)
		return len(batch)
	}
	if len(out.BatchItemFailures) == 0 {
		return len(batch)
	}
	lowest := out.BatchItemFailures[0].ItemIdentifier
	return slices.IndexFunc(batch, func(r awsevents.KinesisEventRecord) bool { return r.Kinesis.SequenceNumber == lowest })
}
