package kinesis

import (
	"fmt"
	"slices"
)

// resendMisplaced handles the events of a record that landed in an unexpected
// shard: those that belong there are complete, the others are requeued to be
// sent to their own shard, before any of their successors.
//
// Aggregates that keep sub-records of another shard are a known bug of others:
// https://github.com/awslabs/kinesis-aggregation/issues/175.
func (sw *shardWriter) resendMisplaced(s misplacedRecord) {
	landed, ok := sw.p.refreshShards(sw, s.shard)
	if !ok {
		markMaybeSent(s.record.results)
		sw.requeueFirst(s.record.results)
		return
	}
	var right, wrong []*Result
	for _, r := range s.record.results {
		if landed.contains(r.key.hash) {
			right = append(right, r)
		} else {
			wrong = append(wrong, r)
		}
	}
	sw.count(func(c *Counts) { c.Misplaced += int64(len(wrong)) })
	sw.complete(right)
	markMaybeSent(wrong)
	sw.requeueFirst(wrong)
}

func markMaybeSent(results []*Result) {
	for _, r := range results {
		r.maybeSent = true
	}
}

// refreshShards lists the shards until id is among them and starts and retires writers
// accordingly. It retries until the publisher ends.
func (p *Publisher) refreshShards(sw *shardWriter, id string) (shard, bool) {
	select {
	case <-p.refresh:
		defer func() { p.refresh <- struct{}{} }()
	case <-p.ctx.Done():
		return shard{}, false
	}
	if s, ok := p.alreadyRefreshed(sw, id); ok {
		return s, true
	}
	for attempt := 0; ; attempt++ {
		if s, ok := p.relistShards(sw, id); ok {
			return s, true
		}
		if p.cfg.retryDelays().Wait(p.ctx, attempt) != nil {
			return shard{}, false
		}
	}
}

// alreadyRefreshed returns the shard if another writer has found the reshard before.
func (p *Publisher) alreadyRefreshed(sw *shardWriter, id string) (shard, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.shards.all[id]
	return s, ok && sw.retired
}

func (p *Publisher) relistShards(sw *shardWriter, id string) (shard, bool) {
	m, err := p.listShards(p.ctx)
	if err == nil {
		if _, ok := m.all[id]; !ok {
			err = fmt.Errorf("publishers/kinesis: %s answered from shard %s, which it does not list", p.target.text, id)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		sw.last = err
		return shard{}, false
	}
	p.remapLocked(m)
	return m.all[id], true
}

// remapLocked starts and retires writers to match m's open shards. The writer of a shard that
// is still open stays. That of a closed one is retired: its request in flight ends,
// then its queue goes in front of what its successors have enqueued meanwhile.
func (p *Publisher) remapLocked(m *shardMap) {
	old := make(map[string]*shardWriter, len(p.writers))
	for _, sw := range p.writers {
		old[sw.shard.id] = sw
	}
	var started []*shardWriter
	writers := make([]*shardWriter, len(m.open))
	for i, s := range m.open {
		if writers[i] = old[s.id]; writers[i] == nil {
			writers[i] = newShardWriter(p, s)
			started = append(started, writers[i])
		}
		delete(old, s.id)
	}
	for _, sw := range old {
		sw.retireLocked(writers)
	}
	if p.shards != nil && len(started) > 0 {
		p.reshards++
	}
	p.shards, p.writers = m, writers
	p.requeueWaitersLocked()
	p.running.Add(len(started))
	for _, sw := range started {
		go sw.run()
	}
}

// retireLocked makes the writer transfer its queue to those of writers that own
// its hash keys.
func (sw *shardWriter) retireLocked(writers []*shardWriter) {
	sw.retired = true
	for _, successor := range writers {
		if successor.shard.overlaps(&sw.shard) {
			sw.successors = append(sw.successors, successor)
			successor.predecessors++
		}
	}
	sw.wakeLocked()
}

// transferQueueLocked moves the queue to the successors. The writer's goroutine calls it, with
// nothing in flight.
func (sw *shardWriter) transferQueueLocked() {
	sw.drainInboxLocked()
	for _, successor := range sw.successors {
		successor.inheritLocked(sw.backlog)
	}
	sw.backlog, sw.backlogBytes, sw.pending = nil, 0, load{}
}

// inheritLocked puts those of results that belong to this shard in front of its inbox.
func (sw *shardWriter) inheritLocked(results []*Result) {
	var mine []*Result
	for _, r := range results {
		if sw.shard.contains(r.key.hash) {
			mine = append(mine, r)
			sw.inboxBytes += len(r.data)
			sw.pending.add(load{1, len(r.data)})
		}
	}
	sw.inbox = slices.Concat(mine, sw.inbox)
	sw.predecessors--
	sw.wakeLocked()
}
