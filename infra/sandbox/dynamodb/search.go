package dynamodb

import (
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
)

// maxPage is how many bytes of items a query or scan evaluates before it ends the page.
const maxPage = 1 << 20

// search is a query or scan: which entries to visit, in which direction, and what to make of them.
type search struct {
	request *request
	table   *table
	index   *index // nil: the table itself
	keys    keys
	bound   bound
	start   *entry // continue after this; nil: from the beginning

	count, scanned int
	bytes          int
	last           *entry
	more           bool
}

func (s *Server) prepareSearch(r *request) (*search, error) {
	if err := r.checkCommon(); err != nil {
		return nil, err
	}
	t, err := s.table(r.table)
	if err != nil {
		return nil, err
	}
	q := &search{request: r, table: t, keys: t.keys}
	if q.bound, err = r.bind(); err != nil {
		return nil, err
	}
	if r.limit != nil && *r.limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	t.expire(s.cfg.Now())
	t.mu.RLock()
	defer t.mu.RUnlock()
	if r.index != "" {
		if q.index = t.indexNamed(r.index); q.index == nil {
			return nil, invalid("The table does not have the specified index: %s", r.index)
		}
		q.keys = q.index.keys
	}
	if err := q.checkSelect(); err != nil {
		return nil, err
	}
	return q, q.checkStart()
}

// checkSelect checks what of an item is asked for against what the index has.
func (q *search) checkSelect() error {
	r := q.request
	switch {
	case r.sel == "COUNT" && r.projection != nil:
		return invalid("Cannot specify the ProjectionExpression when choosing to get only the Count")
	case r.sel != "" && r.sel != "COUNT":
		return notImplemented("Select " + r.sel)
	case q.index != nil:
		return q.checkIndex()
	}
	return nil
}

func (q *search) checkIndex() error {
	ix, r := q.index, q.request
	if r.consistent {
		return invalid("Consistent reads are not supported on global secondary indexes")
	}
	if ix.projected == nil || q.bound.projection == nil {
		return nil
	}
	var lacking []string
	for _, name := range q.bound.projection.Roots() {
		if !slices.Contains(ix.projected, name) {
			lacking = append(lacking, name)
		}
	}
	if lacking != nil {
		return parameter("Global secondary index %s does not project [%s]", ix.name, strings.Join(lacking, ", "))
	}
	return nil
}

// checkStart places the ExclusiveStartKey.
func (q *search) checkStart() error {
	given := q.request.start
	if given == nil {
		return nil
	}
	const bad = "The provided starting key is invalid"
	want := q.lastKeyNames()
	if len(given) != len(want) {
		return invalid("%s: The provided key element does not match the schema", bad)
	}
	for _, name := range want {
		v, ok := given.Get(name)
		if !ok || v.Kind() != q.kindOf(name) || v.Kind() != attribute.N && v.Text() == "" {
			return invalid("%s: The provided key element does not match the schema", bad)
		}
	}
	e, _ := q.keys.place(given)
	if q.index != nil {
		primary, _ := q.table.keys.place(given)
		e.tie = primary.identity()
	}
	q.start = e
	return nil
}

func (q *search) kindOf(name string) attribute.Kind {
	for _, k := range []keys{q.keys, q.table.keys} {
		for i, n := range k.names() {
			if n == name {
				return k.kind(i)
			}
		}
	}
	return attribute.Invalid
}

// lastKeyNames are the attributes of a LastEvaluatedKey: the index's keys and the table's.
func (q *search) lastKeyNames() []string {
	names := slices.Clone(q.keys.names())
	for _, n := range q.table.keys.names() {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

func (q *search) tree() *tree {
	if q.index != nil {
		return q.index.items
	}
	return q.table.items
}

func (s *Server) query(r *request, out []byte) ([]byte, error) {
	if r.keyCondition == nil {
		return out, invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	q, err := s.prepareSearch(r)
	if err != nil {
		return out, err
	}
	if err := q.checkFilter(); err != nil {
		return out, err
	}
	wanted, err := q.bound.keyCondition.Key(expression.KeySchema{Hash: q.keys.hash, HashKind: q.keys.hashKind, Range: q.keys.sort, RangeKind: q.keys.sortKind})
	if err != nil {
		return out, err
	}
	rng := newSortRange(wanted)
	if q.start != nil && (q.start.pk != rng.pk || !rng.contains(q.start.sk)) {
		return out, invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	return q.run(out, func(visit func(*entry) bool) { rng.walk(q.tree(), q.start, r.backward, visit) })
}

func (q *search) checkFilter() error {
	if q.bound.filter == nil {
		return nil
	}
	for _, name := range q.bound.filter.Roots() {
		if slices.Contains(q.keys.names(), name) {
			return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	return nil
}

func (s *Server) scan(r *request, out []byte) ([]byte, error) {
	from, to, err := r.segmentRange()
	if err != nil {
		return out, err
	}
	q, err := s.prepareSearch(r)
	if err != nil {
		return out, err
	}
	if q.start != nil && (q.start.hash < from || q.start.hash > to) {
		return out, invalid("The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct "+
			"Segment. TotalSegments: %d Segment: %d", *r.segments, *r.segment)
	}
	first := &entry{hash: from}
	if q.start != nil {
		first = q.start
	}
	return q.run(out, func(visit func(*entry) bool) {
		q.tree().AscendGreaterOrEqual(first, func(e *entry) bool {
			if e.hash > to {
				return false
			}
			return q.start != nil && !q.start.before(e) || visit(e)
		})
	})
}

// segmentRange is the part of the hashes that a segment of a parallel scan covers.
func (r *request) segmentRange() (from, to uint64, err error) {
	const most = 1_000_000
	switch {
	case r.segment == nil && r.segments == nil:
		return 0, math.MaxUint64, nil
	case r.segments == nil:
		return 0, 0, invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case r.segment == nil:
		return 0, 0, invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case *r.segments < 1 || *r.segments > most:
		return 0, 0, invalid("1 validation error detected: Value '%d' at 'totalSegments' failed to satisfy constraint: Member must have "+
			"value between 1 and 1000000", *r.segments)
	case *r.segment < 0 || *r.segment >= *r.segments:
		return 0, 0, invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less "+
			"than TotalSegments: %d", *r.segment, *r.segments)
	}
	return boundary(*r.segment, *r.segments), boundary(*r.segment+1, *r.segments) - 1, nil
}

// boundary is where segment i of n begins; that of segment n wraps to zero.
func boundary(i, n int64) uint64 {
	x := new(big.Int).Lsh(big.NewInt(i), 64)
	return x.Div(x, big.NewInt(n)).Uint64()
}

// sortRange is what a key condition admits.
type sortRange struct {
	hash      uint64
	pk        string
	low, high string
	lowOpen   bool // low itself is not admitted
	highOpen  bool
	unbounded bool // there is no high
	prefix    string
}

func newSortRange(k expression.KeyRange) sortRange {
	r := sortRange{pk: attribute.KeyText(k.Hash), unbounded: true}
	r.hash = hashOf(r.pk)
	if k.Op == "" {
		return r
	}
	low := attribute.KeyText(k.Value)
	switch k.Op {
	case "=":
		r.low, r.high, r.unbounded = low, low, false
	case "<", "<=":
		r.high, r.highOpen, r.unbounded = low, k.Op == "<", false
	case ">", ">=":
		r.low, r.lowOpen = low, k.Op == ">"
	case "begins_with":
		r.low, r.prefix = low, low
	}
	return r
}

func (r *sortRange) below(sk string) bool { return sk < r.low || r.lowOpen && sk == r.low }

func (r *sortRange) above(sk string) bool {
	if r.prefix != "" {
		return sk > r.prefix && !strings.HasPrefix(sk, r.prefix)
	}
	return !r.unbounded && (sk > r.high || r.highOpen && sk == r.high)
}

func (r *sortRange) contains(sk string) bool { return !r.below(sk) && !r.above(sk) }

// walk visits the entries of the range in order, or backward, after start if there is one.
func (r *sortRange) walk(t *tree, start *entry, backward bool, visit func(*entry) bool) {
	skip := func(e *entry) bool { return start != nil && !start.before(e) }
	step := func(e *entry) bool {
		switch {
		case e.hash != r.hash || e.pk != r.pk || r.above(e.sk):
			return false
		case r.below(e.sk) || skip(e):
			return true
		}
		return visit(e)
	}
	if !backward {
		from := &entry{hash: r.hash, pk: r.pk, sk: r.low}
		if start != nil {
			from = start
		}
		t.AscendGreaterOrEqual(from, step)
		return
	}
	skip = func(e *entry) bool { return start != nil && !e.before(start) }
	down := func(e *entry) bool {
		switch {
		case e.hash != r.hash || e.pk != r.pk:
			return !e.before(&entry{hash: r.hash, pk: r.pk}) // past the partition, not yet in it
		case r.below(e.sk):
			return false
		case r.above(e.sk) || skip(e):
			return true
		}
		return visit(e)
	}
	t.DescendLessOrEqual(r.ceiling(start), down)
}

// ceiling is an entry at or after the last of the range.
func (r *sortRange) ceiling(start *entry) *entry {
	const highest = "\xff\xff\xff\xff\xff\xff\xff\xff"
	switch {
	case start != nil:
		return start
	case r.prefix != "":
		return &entry{hash: r.hash, pk: r.pk, sk: r.prefix + strings.Repeat(highest, maxSortKey/8+1)}
	case !r.unbounded:
		return &entry{hash: r.hash, pk: r.pk, sk: r.high, tie: highest}
	}
	return &entry{hash: r.hash, pk: r.pk + "\x00"}
}

// run visits entries until the page is full, appending the answer as it goes.
func (q *search) run(out []byte, walk func(visit func(*entry) bool)) ([]byte, error) {
	r := q.request
	wantsItems := r.sel != "COUNT"
	out = append(out, '{')
	if wantsItems {
		out = append(out, `"Items":[`...)
	}
	q.table.mu.RLock()
	defer q.table.mu.RUnlock()
	walk(func(e *entry) bool {
		q.scanned++
		q.bytes += e.size
		if q.bound.filter.Match(e.item) {
			if wantsItems {
				out = q.bound.projection.Apply(e.item).AppendJSON(comma(out, q.count))
			}
			q.count++
		}
		q.last = e
		q.more = r.limit != nil && int64(q.scanned) >= *r.limit || q.bytes > maxPage
		return !q.more
	})
	if wantsItems {
		out = append(out, ']', ',')
	}
	return q.end(out), nil
}

func (q *search) end(out []byte) []byte {
	out = appendInt(append(out, `"Count":`...), q.count)
	out = appendInt(append(out, `,"ScannedCount":`...), q.scanned)
	if q.more {
		key := q.last.item.Only(q.lastKeyNames())
		out = key.AppendJSON(append(out, `,"LastEvaluatedKey":`...))
	}
	if q.request.wantsCapacity() {
		used := &usage{}
		used.read(q.table, readUnits(q.bytes, q.request.consistent))
		out = used.appendJSON(append(out, `,"ConsumedCapacity":`...), false)
	}
	return append(out, '}')
}
