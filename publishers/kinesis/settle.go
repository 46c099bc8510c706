package kinesis

import "slices"

// atOnce is how many results are settled under one lock, which callers need too.
const atOnce = 256

// settle makes results final whose pos and err are set. They are all of this
// lane.
func (l *lane) settle(results []*Result) {
	for some := range slices.Chunk(results, atOnce) {
		var t tally
		l.account(some, &t)
		for _, r := range some {
			r.finish()
		}
		t.report(l.p)
	}
}

// account gives the places back.
func (l *lane) account(results []*Result, t *tally) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
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
	l.count(func(c *Counts) {
		c.Events += int64(kept.events)
		c.Bytes += int64(kept.bytes)
		c.Failed += int64(failed.events)
	})
	kept.add(failed)
	l.use.subtract(kept)
	l.p.gate.inUse.subtract(kept)
	l.p.letIn()
}

// fail settles results with one error.
func (l *lane) fail(results []*Result, err error) {
	for _, r := range results {
		r.err = err
	}
	l.settle(results)
}

// tally is how many results of which groups were settled. The groups are told
// only after the results are final, since a flush that was waited for means that.
type tally struct {
	groups []grouped
	last   grouped
}

type grouped struct {
	group  *group
	events int
	failed int
	first  error
}

func (t *tally) count(r *Result) {
	if r.group != t.last.group {
		t.turn()
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

func (t *tally) turn() {
	if t.last.events > 0 {
		t.groups = append(t.groups, t.last)
	}
	t.last = grouped{}
}

func (t *tally) report(p *Publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range t.groups {
		g.group.settled(g)
	}
	t.last.group.settled(t.last)
}
