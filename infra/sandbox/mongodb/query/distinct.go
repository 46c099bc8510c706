package query

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Distinct is the set of values that documents have at a path, arrays taken
// apart, in order.
func Distinct(docs []D, path value.Path) []V {
	var all []V
	for _, d := range docs {
		value.Walk(d, path, func(v V, _ bool) bool {
			switch v.Type {
			case 0:
			case bsoncore.TypeArray:
				all = append(all, items(v)...)
			default:
				all = append(all, v)
			}
			return false
		})
	}
	slices.SortStableFunc(all, value.Compare)
	return slices.CompactFunc(all, value.Equal)
}
