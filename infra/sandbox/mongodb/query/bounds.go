package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Bounds is what a filter demands of one path, as far as an index can use it:
// either one of Points, or within Low and High.
type Bounds struct {
	Points            []V // sorted; nil if there is a range instead
	Low, High         V   // missing if open; then the class of the other bounds it
	LowOpen, HighOpen bool
}

// Bounds looks for conditions on a path that every match must fulfil. narrow
// allows a range from two conditions, which is wrong where the path can meet
// arrays: there one element may fulfil the one and another the other.
func (f *Filter) Bounds(path string, narrow bool) (Bounds, bool) {
	conditions, _ := f.root.(all)
	var b Bounds
	found := false
	for _, c := range conditions {
		fc, ok := c.(field)
		if !ok || fc.path.String() != path {
			continue
		}
		if points, ok := pointsOf(fc.predicate); ok {
			return Bounds{Points: points}, true
		}
		if !found || narrow {
			found = b.restrict(fc.predicate) || found
		}
	}
	return b, found
}

func pointsOf(p predicate) ([]V, bool) {
	switch p := p.(type) {
	case comparison:
		if p.op == "$eq" && indexable(p.to) {
			return []V{p.to}, true
		}
	case in:
		if len(p.patterns) == 0 && !slices.ContainsFunc(p.values, func(v V) bool { return !indexable(v) }) {
			return slices.Clip(p.values), p.values != nil
		}
	}
	return nil, false
}

// indexable says whether equality with v is the same for index keys: null also
// stands for missing there, and arrays are taken apart.
func indexable(v V) bool {
	switch v.Type {
	case bsoncore.TypeNull, bsoncore.TypeUndefined, bsoncore.TypeArray:
		return false
	}
	return true
}

func (b *Bounds) restrict(p predicate) bool {
	c, ok := p.(comparison)
	if !ok || !indexable(c.to) || unbounded(c.to) || isNaN(c.to) {
		return false
	}
	switch c.op {
	case "$gt", "$gte":
		if value.Missing(b.Low) || value.Compare(c.to, b.Low) > 0 {
			b.Low, b.LowOpen = c.to, c.op == "$gt"
		}
		return true
	case "$lt", "$lte":
		if value.Missing(b.High) || value.Compare(c.to, b.High) < 0 {
			b.High, b.HighOpen = c.to, c.op == "$lt"
		}
		return true
	}
	return false
}

// Equalities calls fn with each path that the filter demands a certain value
// of: what an upsert begins its document with.
func (f *Filter) Equalities(fn func(path string, v V)) {
	conditions, _ := f.root.(all)
	for _, c := range conditions {
		fc, ok := c.(field)
		if !ok {
			continue
		}
		switch p := fc.predicate.(type) {
		case comparison:
			if p.op == "$eq" {
				fn(fc.path.String(), p.to)
			}
		case in:
			if len(p.values) == 1 && len(p.patterns) == 0 {
				fn(fc.path.String(), p.values[0])
			}
		}
	}
}
