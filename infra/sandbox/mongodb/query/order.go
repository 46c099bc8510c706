package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Order is a compiled sort.
type Order []OrderKey

// OrderKey is one path of a sort.
type OrderKey struct {
	Path value.Path
	Desc bool
}

// CompileOrder reads a sort document; an empty one is a nil Order.
func CompileOrder(d D) (Order, error) {
	var o Order
	it := value.Elements(d)
	for it.Next() {
		if it.Value.Type == bsoncore.TypeEmbeddedDocument {
			return nil, failure.Unsupported("sort by $meta")
		}
		n, ok := value.Integer(it.Value)
		if !ok || n != 1 && n != -1 {
			return nil, failure.New(failure.BadValue, "Illegal key in $sort specification: %s must be 1 or -1", it.Key)
		}
		if len(it.Key) == 0 {
			return nil, failure.New(failure.Code(15976), "FieldPath cannot be constructed with empty string")
		}
		o = append(o, OrderKey{value.ParsePath(string(it.Key)), n < 0})
	}
	return o, nil
}

// key is a document's sort key: the least of an array's values when ascending,
// the greatest when descending, null for missing.
func (k OrderKey) key(d D) V {
	best := V{}
	value.Keys(d, k.Path, func(v V) {
		if c := value.Compare(v, best); value.Missing(best) || (c < 0) != k.Desc && c != 0 {
			best = v
		}
	})
	return best
}

type keyed struct {
	doc  D
	keys []V
	at   int
}

// Sort sorts documents stably, and keeps the first limit of them (0: all).
// docs is not changed.
func (o Order) Sort(docs []D, limit int) []D {
	items := make([]keyed, 0, len(docs))
	room := max(2*limit, limit+1000)
	for at, d := range docs {
		items = append(items, keyed{d, o.keys(d), at})
		if limit > 0 && len(items) >= room {
			slices.SortFunc(items, o.compare)
			items = items[:limit]
		}
	}
	slices.SortFunc(items, o.compare)
	if limit > 0 && len(items) > limit {
		items = items[:limit]
	}
	sorted := make([]D, len(items))
	for i, item := range items {
		sorted[i] = item.doc
	}
	return sorted
}

func (o Order) keys(d D) []V {
	keys := make([]V, len(o))
	for i, k := range o {
		keys[i] = k.key(d)
	}
	return keys
}

func (o Order) compare(a, b keyed) int {
	for i, k := range o {
		c := value.Compare(a.keys[i], b.keys[i])
		if k.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return a.at - b.at
}
