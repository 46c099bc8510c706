package mongostream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// migrate gives a collection N the names N__banyan_g1, N__banyan_g2 and so on, one after
// the other, and a read-only view takes each name that it has left.
const (
	ofMigrate  = "__banyan_"
	generation = ofMigrate + "g"
	// claims is where a migration says that it moves a collection: _id is its first name.
	claims = "banyan_claims"
)

// PublicName returns the name that a collection had before migrate gave it another; any
// other name is returned unchanged.
func PublicName(name string) string {
	public, _ := splitName(name)
	return public
}

// splitName returns the public name and the generation, 0 for a public name.
func splitName(name string) (public string, number int) {
	at := strings.LastIndex(name, generation)
	if at <= 0 {
		return name, 0
	}
	n, err := strconv.Atoi(name[at+len(generation):])
	if err != nil || n <= 0 {
		return name, 0
	}
	return name[:at], n
}

// AndMoved adds all names that migrate gives to the collections named.
func (c Collections) AndMoved() Collections {
	for _, name := range c.Names {
		c.Prefixes = append(slices.Clip(c.Prefixes), name+generation)
	}
	return c
}

// IsMove reports whether c is a rename by which migrate gave a collection another of its
// names, or moved aside what stood under one: no document appears or disappears.
func (c *Change) IsMove() bool {
	public := PublicName(c.Collection)
	return c.Operation == "rename" && c.Database == c.RenamedToDatabase && c.DropTarget == "" &&
		(c.RenamedTo == public || strings.HasPrefix(c.RenamedTo, public+ofMigrate))
}

// Moves are the names that collections have left, and when, as far as a reader of a stream
// has seen it. It is not safe for concurrent use.
type Moves map[string]bson.Timestamp

// Note notes a rename by migrate ([Change.IsMove]).
func (m Moves) Note(c Change) {
	if _, before := m[c.Collection]; !before {
		m[c.Collection] = c.ClusterTime
	}
	delete(m, c.RenamedTo)
}

// IsStray reports whether c is a change of what somebody wrote to a name after the
// collection had left it. Changes from before may be read again, so the time counts.
func (m Moves) IsStray(c *Change) bool {
	at, left := m[c.Collection]
	return left && c.ClusterTime.After(at)
}

// Place is where a collection stands.
type Place struct {
	// Name is the present one; UUID has 32 hex digits.
	Name, UUID string
	// Options are those of the collection, as listCollections shows them.
	Options bson.Raw
}

// Locate finds collections by their public names, also where migrate has given them
// others. What does not exist, or is a view of another origin, is missing in the result.
//
// Of several collections under the names of one, that of the highest generation counts.
// Others are what somebody wrote to a name that it had left. Only where there is no
// migration (any more) it is the public name that counts.
func Locate(ctx context.Context, db *mongo.Database, names ...string) (map[string]Place, error) {
	places, err := locate(ctx, db, names)
	if err != nil {
		return nil, fmt.Errorf("mongostream: look where %s are in %s: %w", strings.Join(names, ", "), db.Name(), err)
	}
	return places, nil
}

func locate(ctx context.Context, db *mongo.Database, names []string) (map[string]Place, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	filter := bson.D{{Key: "type", Value: "collection"}, {Key: "name", Value: Collections{Names: names}.AndMoved().in()}}
	all, err := db.ListCollectionSpecifications(ctx, filter)
	if err != nil {
		return nil, err
	}
	places, last := map[string]Place{}, map[string]int{}
	var doubtful []string
	for _, one := range all {
		public, n := splitName(one.Name)
		if !slices.Contains(names, public) {
			public, n = one.Name, 0 // its own name looks like one of migrate's
		}
		if _, there := places[public]; there && (n == 0 || last[public] == 0) {
			doubtful = append(doubtful, public)
		}
		if _, there := places[public]; there && n < last[public] {
			continue
		}
		places[public], last[public] = placeOf(&one), n
	}
	for _, public := range doubtful {
		err := db.Collection(claims).FindOne(ctx, bson.D{{Key: "_id", Value: public}}).Err()
		switch {
		case errors.Is(err, mongo.ErrNoDocuments):
			i := slices.IndexFunc(all, func(one mongo.CollectionSpecification) bool { return one.Name == public })
			places[public] = placeOf(&all[i])
		case err != nil:
			return nil, err
		}
	}
	return places, nil
}

func placeOf(one *mongo.CollectionSpecification) Place {
	p := Place{Name: one.Name, Options: one.Options}
	if one.UUID != nil {
		p.UUID = hex.EncodeToString(one.UUID.Data)
	}
	return p
}
