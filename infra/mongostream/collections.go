package mongostream

import (
	"regexp"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Collections says which collections of a database a stream is about.
type Collections struct {
	// Names of collections.
	Names []string
	// Prefixes stand for all collections whose names begin with one.
	Prefixes []string
}

// Contains reports whether a name is among them.
func (c Collections) Contains(name string) bool {
	return slices.Contains(c.Names, name) || slices.ContainsFunc(c.Prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// Match is a $match for [Source].Pipeline that lets everything pass that happens to the
// collections: the changes of their documents; the DDL on them; a rename onto one, which
// is an event of the other collection, and the only one even where it dropped the target
// (SERVER-53478); and the end of their database or of the stream, which name none.
func (c Collections) Match() bson.D {
	ours := c.in()
	return bson.D{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "ns.coll", Value: ours}},
		bson.D{{Key: "to.coll", Value: ours}},
		bson.D{{Key: "operationType", Value: bson.D{{Key: "$in", Value: bson.A{"dropDatabase", "invalidate"}}}}},
	}}}}}
}

// in is a condition for a field that has a name.
func (c Collections) in() bson.D {
	names := bson.A{}
	for _, name := range c.Names {
		names = append(names, name)
	}
	for _, prefix := range c.Prefixes {
		names = append(names, bson.Regex{Pattern: "^" + regexp.QuoteMeta(prefix)})
	}
	return bson.D{{Key: "$in", Value: names}}
}
