package store

import (
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Query is what to look for.
type Query struct {
	Filter *query.Filter
	Order  query.Order
	Skip   int
	Limit  int // 0: all
}

// plan is how a query uses an index.
type plan struct {
	index   *index
	ranges  [][2]entry // where to look, in the index's order
	ordered bool       // within each range, entries come in the query's order
	reverse bool       // read backwards for that
}

// maxRanges bounds the number of ranges that long $in lists multiply to.
const maxRanges = 10_000

// choose picks the index that the filter bounds by most fields, and among equal
// ones the index that also gives the order.
func (c *contents) choose(q Query) *plan {
	var best *plan
	score := 0
	for _, x := range c.indexes {
		p, s := x.plan(q)
		if s > score {
			best, score = p, s
		}
	}
	return best
}

func (x *index) plan(q Query) (*plan, int) {
	if x.partial != nil {
		return nil, 0
	}
	prefixes, score := [][]V{nil}, 0
	p := &plan{index: x}
	for i, k := range x.parts {
		b, ok := q.Filter.Bounds(k.path.String(), !x.multikey)
		if !ok {
			break
		}
		if b.Points == nil {
			score += 2
			p.ranges = x.between(prefixes, b, k.desc)
			p.order(q, i)
			break
		}
		if len(prefixes)*len(b.Points) > maxRanges {
			break
		}
		score += 4
		prefixes = multiply(prefixes, b.Points)
	}
	if p.ranges == nil {
		p.ranges = x.between(prefixes, query.Bounds{}, false)
		p.order(q, depth(prefixes))
	}
	if p.ordered && (score > 0 || !x.Sparse) {
		score++
	}
	return p, score
}

func depth(prefixes [][]V) int {
	if len(prefixes) == 0 {
		return 0
	}
	return len(prefixes[0])
}

func multiply(prefixes [][]V, points []V) [][]V {
	var out [][]V
	for _, p := range prefixes {
		for _, v := range points {
			out = append(out, append(p[:len(p):len(p)], v))
		}
	}
	return out
}

// between makes the ranges from the bounds of the field after the prefixes.
func (x *index) between(prefixes [][]V, b query.Bounds, desc bool) [][2]entry {
	ranges := make([][2]entry, 0, len(prefixes))
	for _, p := range prefixes {
		from, to := entry{keys: p, edge: -1}, entry{keys: p, edge: 1}
		low, high := &from, &to
		if desc {
			low, high = high, low
		}
		if !value.Missing(b.Low) {
			low.keys = append(p[:len(p):len(p)], b.Low)
			if b.LowOpen {
				low.edge = -low.edge
			}
		}
		if !value.Missing(b.High) {
			high.keys = append(p[:len(p):len(p)], b.High)
			if b.HighOpen {
				high.edge = -high.edge
			}
		}
		ranges = append(ranges, [2]entry{from, to})
	}
	return ranges
}

// order finds out whether the fields of the index from the given one on are the
// query's order, forwards or backwards.
func (p *plan) order(q Query, from int) {
	p.ordered = false
	if len(q.Order) == 0 || p.index.multikey || from+len(q.Order) > len(p.index.parts) {
		return
	}
	for i, k := range q.Order {
		part := p.index.parts[from+i]
		if part.path.String() != k.Path.String() {
			return
		}
		backwards := part.desc != k.Desc
		if i > 0 && backwards != p.reverse {
			return
		}
		p.reverse = backwards
	}
	p.ordered = true
}

// short says that the query looks at a small part of the collection, so that it
// may be run under the lock: certain keys, or a range up to a limit.
func (p *plan) short(q Query) bool {
	if p == nil {
		return false
	}
	from, to := p.ranges[0][0].keys, p.ranges[0][1].keys
	bounded := len(from) > 0 || len(to) > 0 || q.Filter.Everything()
	if bounded && q.Limit > 0 && q.Skip+q.Limit <= shortLimit && (len(q.Order) == 0 || p.ordered) {
		return true
	}
	return len(from) > 0 && len(from) == len(to) && &from[len(from)-1] == &to[len(to)-1]
}

const shortLimit = 10_000

// find runs a query and gives the records in order.
func (c *contents) find(q Query, p *plan) []*record {
	want := 0
	if q.Limit > 0 {
		want = q.Skip + q.Limit
	}
	ordered := len(q.Order) == 0 || p != nil && p.ordered && len(p.ranges) == 1
	enough := want
	if !ordered && (p == nil || !p.ordered) {
		enough = 0
	}
	found := c.collect(q, p, enough, len(q.Order) == 0)
	if !ordered {
		found = sortRecords(q.Order, found, want)
	}
	found = found[min(q.Skip, len(found)):]
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[:q.Limit]
	}
	return found
}

// collect gathers matches: at most enough (0: all) from each range, or in all
// if the order does not matter.
func (c *contents) collect(q Query, p *plan, enough int, total bool) []*record {
	var found []*record
	everything := q.Filter.Everything()
	if p == nil {
		c.records.Ascend(func(r *record) bool {
			if everything || q.Filter.Matches(r.doc) {
				found = append(found, r)
			}
			return enough == 0 || len(found) < enough
		})
		return found
	}
	var seen map[int64]bool
	if p.index.multikey {
		seen = map[int64]bool{}
	}
	for _, span := range p.ranges {
		before := len(found)
		visit := func(e entry) bool {
			if seen[e.rec.id] {
				return true
			}
			if seen != nil {
				seen[e.rec.id] = true
			}
			if everything || q.Filter.Matches(e.rec.doc) {
				found = append(found, e.rec)
			}
			return enough == 0 || len(found)-before < enough
		}
		if p.reverse {
			p.index.tree.DescendRange(span[1], span[0], visit)
		} else {
			p.index.tree.AscendRange(span[0], span[1], visit)
		}
		if total && enough > 0 && len(found) >= enough {
			break
		}
	}
	return found
}

func sortRecords(o query.Order, found []*record, limit int) []*record {
	docs := make([]D, len(found))
	byDoc := make(map[*byte]*record, len(found))
	for i, r := range found {
		docs[i] = r.doc
		byDoc[&r.doc[0]] = r
	}
	sorted := o.Sort(docs, limit)
	out := make([]*record, len(sorted))
	for i, d := range sorted {
		out[i] = byDoc[&d[0]]
	}
	return out
}
