package kinesis

import (
	"fmt"
	"slices"
)

// rehome decides about the events of a record that landed in an unexpected
// shard: those that belong there are in the stream, the others go back to be
// sent to where they belong, before any of their successors.
//
// Aggregates that keep sub-records of another shard are a known bug of others:
// https://github.com/awslabs/kinesis-aggregation/issues/175.
func (l *lane) rehome(s stray) {
	landed, ok := l.p.discover(l, s.shard)
	if !ok {
		markDoubt(s.record.results)
		l.putBack(s.record.results)
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
	l.tell(func(c *Counts) { c.Misplaced += int64(len(wrong)) })
	l.settle(right)
	markDoubt(wrong)
	l.putBack(wrong)
}

func markDoubt(results []*Result) {
	for _, r := range results {
		r.doubt = true
	}
}

// discover lists the shards until id is among them and recuts the lanes by the
// listing. It gives up only when the publisher ends.
func (p *Publisher) discover(l *lane, id string) (shard, bool) {
	select {
	case <-p.refresh:
		defer func() { p.refresh <- struct{}{} }()
	case <-p.ctx.Done():
		return shard{}, false
	}
	if s, ok := p.known(l, id); ok {
		return s, true
	}
	for attempt := 0; ; attempt++ {
		if s, ok := p.relist(l, id); ok {
			return s, true
		}
		if p.cfg.retryDelays().Wait(p.ctx, attempt) != nil {
			return shard{}, false
		}
	}
}

// known tells whether another lane has found the reshard already.
func (p *Publisher) known(l *lane, id string) (shard, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.shards.all[id]
	return s, ok && l.retired
}

func (p *Publisher) relist(l *lane, id string) (shard, bool) {
	m, err := p.listShards(p.ctx)
	if err == nil {
		if _, ok := m.all[id]; !ok {
			err = fmt.Errorf("publishers/kinesis: %s answered from shard %s, which it does not list", p.place.text, id)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		l.last = err
		return shard{}, false
	}
	p.remap(m)
	return m.all[id], true
}

// remap cuts the lanes by m. The lane of a shard that is still open goes on.
// That of a closed one is retired: what is in flight ends, then all it has goes
// in front of what its successors have got meanwhile. It needs Publisher.mu.
func (p *Publisher) remap(m *shardMap) {
	old := make(map[string]*lane, len(p.lanes))
	for _, l := range p.lanes {
		old[l.shard.id] = l
	}
	var started []*lane
	lanes := make([]*lane, len(m.open))
	for i, s := range m.open {
		if lanes[i] = old[s.id]; lanes[i] == nil {
			lanes[i] = newLane(p, s)
			started = append(started, lanes[i])
		}
		delete(old, s.id)
	}
	for _, l := range old {
		l.retire(lanes)
	}
	if p.shards != nil && len(started) > 0 {
		p.reshards++
	}
	p.shards, p.lanes = m, lanes
	p.requeue()
	p.running.Add(len(started))
	for _, l := range started {
		go l.run()
	}
}

// retire needs Publisher.mu.
func (l *lane) retire(lanes []*lane) {
	l.retired = true
	for _, next := range lanes {
		if next.shard.overlaps(&l.shard) {
			l.successors = append(l.successors, next)
			next.waiting++
		}
	}
	l.ring()
}

// handOver needs Publisher.mu, and the lane's goroutine with nothing in flight.
func (l *lane) handOver() {
	l.takeInbox()
	for _, next := range l.successors {
		next.inherit(l.backlog)
	}
	l.backlog, l.backlogBytes, l.use = nil, 0, load{}
}

// inherit puts what belongs to this lane in front of what it has got since it
// exists.
func (l *lane) inherit(results []*Result) {
	var mine []*Result
	for _, r := range results {
		if l.shard.contains(r.key.hash) {
			mine = append(mine, r)
			l.inboxBytes += len(r.data)
			l.use.add(load{1, len(r.data)})
		}
	}
	l.inbox = slices.Concat(mine, l.inbox)
	l.waiting--
	l.ring()
}
