package kinesis

import "slices"

// resultsPerLock is how many results are completed under one lock, which callers need too.
const resultsPerLock = 256

// complete makes results final whose pos and err are set. All are of this shard.
func (sw *shardWriter) complete(results []*Result) {
	for some := range slices.Chunk(results, resultsPerLock) {
		var t groupTally
		sw.releaseCapacity(some, &t)
		for _, r := range some {
			r.complete()
		}
		t.report(sw.p)
	}
}

// releaseCapacity returns the capacity that the results occupied, and counts them.
func (sw *shardWriter) releaseCapacity(results []*Result, t *groupTally) {
	sw.p.mu.Lock()
	defer sw.p.mu.Unlock()
	var kept, failed load
	for _, r := range results {
		if r.err == nil {
			kept.add(load{1, len(r.data)})
		} else {
			failed.add(load{1, len(r.data)})
		}
		r.key.uses--
		t.count(r)
	}
	sw.countLocked(func(c *Counts) {
		c.Events += int64(kept.events)
		c.Bytes += int64(kept.bytes)
		c.Failed += int64(failed.events)
	})
	kept.add(failed)
	sw.pending.subtract(kept)
	sw.p.admission.inUse.subtract(kept)
	sw.p.admitWaitersLocked()
}

// failAll completes results with one error.
func (sw *shardWriter) failAll(results []*Result, err error) {
	for _, r := range results {
		r.err = err
	}
	sw.complete(results)
}

// groupTally counts the completed results by flush group. The groups learn of them
// only after the results are final: that is what a flush promises.
type groupTally struct {
	groups []groupCount
	last   groupCount
}

type groupCount struct {
	group  *flushGroup
	events int
	failed int
	first  error
}

func (t *groupTally) count(r *Result) {
	if r.group != t.last.group {
		t.nextGroup()
		t.last.group = r.group
	}
	t.last.events++
	if r.err == nil {
		return
	}
	if t.last.failed++; t.last.first == nil {
		t.last.first = r.err
	}
}

func (t *groupTally) nextGroup() {
	if t.last.events > 0 {
		t.groups = append(t.groups, t.last)
	}
	t.last = groupCount{}
}

func (t *groupTally) report(p *Publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range t.groups {
		g.group.recordCompleted(g)
	}
	t.last.group.recordCompleted(t.last)
}
