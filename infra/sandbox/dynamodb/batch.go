package dynamodb

import (
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// The limits of a batch, by the service's quotas.
const (
	maxBatchWrites = 25
	maxBatchGets   = 100
	maxBatchBytes  = 16 << 20
)

func (s *Server) batchWriteItem(r *request, out []byte) ([]byte, error) {
	if err := r.checkCommon(); err != nil {
		return out, err
	}
	switch {
	case len(r.batch) == 0:
		return out, invalid("BatchWriteItem cannot have a null or no requests set")
	case len(r.batch) > maxBatchWrites:
		return out, invalid("Too many items requested for the BatchWriteItem call")
	}
	changes, err := s.prepareBatch(r)
	if err != nil {
		return out, err
	}
	todo, left := divide(r.partial, changes)
	if len(todo) == 0 {
		return out, throttled()
	}
	var used usages
	for _, c := range todo {
		if err := s.apply(c, used.of(c.table)); err != nil {
			return out, err
		}
	}
	out = append(out, '{')
	out = used.appendField(out, r, false)
	out = append(out, `"UnprocessedItems":{`...)
	out = appendUnprocessed(out, left)
	return append(out, '}', '}'), nil
}

// prepareBatch checks every write of a batch, also what only the indexes can refuse, so that a
// batch with a bad request has no effect at all.
func (s *Server) prepareBatch(r *request) ([]*change, error) {
	changes := make([]*change, 0, len(r.batch))
	seen := map[identity]bool{}
	bytes := 0
	for _, one := range r.batch {
		c, err := s.prepare(one)
		if err != nil {
			return nil, err
		}
		if c.put != nil {
			bytes += c.put.size
			if err := c.table.checkIndexKeys(c.put.item); err != nil {
				return nil, err
			}
		}
		id := identity{c.table.name, c.key.identity()}
		if seen[id] {
			return nil, invalid("Provided list of item keys contains duplicates")
		}
		seen[id] = true
		changes = append(changes, c)
	}
	if bytes > maxBatchBytes {
		return nil, invalid("Batch size has exceeded the maximum allowed size")
	}
	return changes, nil
}

// identity names an item among all tables.
type identity struct{ table, key string }

func (t *table) checkIndexKeys(it attribute.Item) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.indexKeys(it)
}

// divide leaves every second element undone if the batch shall be partial.
func divide[T any](partial bool, all []T) (todo, left []T) {
	if !partial {
		return all, nil
	}
	for i, e := range all {
		if i%2 == 0 && len(all) > 1 {
			todo = append(todo, e)
		} else {
			left = append(left, e)
		}
	}
	return todo, left
}

func appendUnprocessed(out []byte, left []*change) []byte {
	for i, c := range left {
		switch {
		case i > 0 && left[i-1].table == c.table:
			out = append(out, ',')
		case i > 0:
			out = append(out, ']', ',')
		}
		if i == 0 || left[i-1].table != c.table {
			out = append(wire.AppendString(out, c.table.name), ':', '[')
		}
		if c.put != nil {
			out = append(c.put.item.AppendJSON(append(out, `{"PutRequest":{"Item":`...)), '}', '}')
		} else {
			out = append(c.request.key.AppendJSON(append(out, `{"DeleteRequest":{"Key":`...)), '}', '}')
		}
	}
	if len(left) > 0 {
		out = append(out, ']')
	}
	return out
}

// batchGet is the part of a BatchGetItem that is about one table.
type batchGet struct {
	request *request
	table   *table
	gets    []*get
	left    []attribute.Item
}

func (s *Server) batchGetItem(r *request, out []byte) ([]byte, error) {
	if err := r.checkCommon(); err != nil {
		return out, err
	}
	parts, count, err := s.prepareBatchGet(r)
	if err != nil {
		return out, err
	}
	if r.partial && count == 1 {
		return out, throttled()
	}
	var used usages
	budget := maxBatchBytes
	for _, p := range parts {
		budget = p.read(s, budget, r.partial, used.of(p.table))
	}
	out = append(out, '{')
	out = used.appendField(out, r, false)
	out = append(out, `"Responses":{`...)
	for i, p := range parts {
		out = p.appendItems(comma(out, i))
	}
	out = append(out, `},"UnprocessedKeys":{`...)
	first := true
	for _, p := range parts {
		if len(p.left) > 0 {
			if !first {
				out = append(out, ',')
			}
			out, first = p.appendLeft(out), false
		}
	}
	return append(out, '}', '}'), nil
}

func comma(out []byte, i int) []byte {
	if i > 0 {
		return append(out, ',')
	}
	return out
}

func (s *Server) prepareBatchGet(r *request) ([]*batchGet, int, error) {
	if len(r.batch) == 0 {
		return nil, 0, invalid("BatchGetItem must have some requests set")
	}
	count := 0
	for _, one := range r.batch {
		if count += len(one.keys); len(one.keys) == 0 {
			return nil, 0, invalid("The list of keys in RequestItems for BatchGetItem is required: %s has empty list", one.table)
		}
	}
	if count > maxBatchGets {
		return nil, 0, invalid("Too many items requested for the BatchGetItem call")
	}
	var parts []*batchGet
	for _, one := range r.batch {
		p, err := s.prepareTableGets(one)
		if err != nil {
			return nil, 0, err
		}
		parts = append(parts, p)
	}
	return parts, count, nil
}

func (s *Server) prepareTableGets(r *request) (*batchGet, error) {
	t, err := s.table(r.table)
	if err != nil {
		return nil, err
	}
	b, err := r.bind()
	if err != nil {
		return nil, err
	}
	p := &batchGet{request: r, table: t}
	seen := map[string]bool{}
	for _, k := range r.keys {
		key, err := t.key(k)
		if err != nil {
			return nil, err
		}
		if seen[key.identity()] {
			return nil, invalid("Provided list of item keys contains duplicates")
		}
		seen[key.identity()] = true
		p.gets = append(p.gets, &get{table: t, key: key, projection: b.projection})
	}
	return p, nil
}

// read looks the items up until the budget of bytes is used up and returns what is left of it.
func (p *batchGet) read(s *Server, budget int, partial bool, used *usage) int {
	p.table.expire(s.cfg.Now())
	p.table.mu.RLock()
	defer p.table.mu.RUnlock()
	for i, g := range p.gets {
		if budget <= 0 || partial && i%2 == 1 {
			p.left = append(p.left, p.request.keys[i])
			continue
		}
		g.found = p.table.find(g.key)
		budget -= g.size()
		used.read(p.table, readUnits(g.size(), p.request.consistent))
	}
	return budget
}

func (p *batchGet) appendItems(out []byte) []byte {
	out = append(wire.AppendString(out, p.table.name), ':', '[')
	first := true
	for _, g := range p.gets {
		if g.found == nil {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		out, first = g.projection.Apply(g.found.item).AppendJSON(out), false
	}
	return append(out, ']')
}

func (p *batchGet) appendLeft(out []byte) []byte {
	r := p.request
	out = append(wire.AppendString(out, p.table.name), `:{"Keys":[`...)
	for i, k := range p.left {
		out = k.AppendJSON(comma(out, i))
	}
	out = append(out, ']')
	if r.consistent {
		out = append(out, `,"ConsistentRead":true`...)
	}
	if r.projection != nil {
		out = wire.AppendString(append(out, `,"ProjectionExpression":`...), *r.projection)
	}
	for i, n := range r.names {
		if i == 0 {
			out = append(out, `,"ExpressionAttributeNames":{`...)
		}
		out = append(wire.AppendString(comma(out, i), n.Placeholder), ':')
		out = wire.AppendString(out, n.Attribute)
		if i == len(r.names)-1 {
			out = append(out, '}')
		}
	}
	return append(out, '}')
}
