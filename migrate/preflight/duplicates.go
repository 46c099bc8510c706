package preflight

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// findDuplicates reports documents that share the value of a constraint of the plan.
func (d *documents) findDuplicates(ctx context.Context, constraint int) error {
	u := &d.Plan.Unique[constraint]
	if u.Collation != "" {
		return d.findLowered(ctx, u)
	}
	var order bson.D
	for _, name := range u.Names() {
		order = append(order, bson.E{Key: name, Value: 1})
	}
	var last, lastID string
	// The values are read in their order, so that equal ones follow each other.
	return d.eachValue(ctx, u, projectionOf(u).SetSort(order).SetAllowDiskUse(true), func(value string, doc bson.Raw) {
		if value == last {
			d.duplicate(u, doc, lastID)
			return
		}
		last, lastID = value, codec.Show(doc.Lookup("_id"))
	})
}

func projectionOf(u *plan.Unique) *options.FindOptionsBuilder {
	projection := bson.D{{Key: "_id", Value: 1}}
	for _, name := range u.Reads() {
		projection = append(projection, bson.E{Key: name, Value: 1})
	}
	return options.Find().SetProjection(projection).SetBatchSize(batchSize)
}

// eachValue calls fn with the documents that a constraint is about.
func (d *documents) eachValue(ctx context.Context, u *plan.Unique, opts *options.FindOptionsBuilder, fn func(value string, doc bson.Raw)) error {
	return d.each(ctx, opts, func(doc bson.Raw) {
		value, err := u.Value(func(name string) (bson.RawValue, error) { return doc.Lookup(name), nil })
		if err == nil && value != "" { // else it was reported already, or has none
			fn(value, doc)
		}
	})
}

func (d *documents) duplicate(u *plan.Unique, doc bson.Raw, other string) {
	var values []string
	for _, name := range u.Names() {
		values = append(values, codec.Show(doc.Lookup(name)))
	}
	d.misfit(Misfit{ID: codec.Show(doc.Lookup("_id")), Field: u.Name(), WayOut: "change or remove one of the two in MongoDB",
		Why: fmt.Sprintf("document %s has the same value %s", other, strings.Join(values, ", "))})
}

// maxRemembered is how many values are remembered at once, at about 40 bytes each.
const maxRemembered = 500_000

// findLowered is findDuplicates for values in whose order the server does not sort: it
// reads the collection once for each part of them, by their hash, and remembers that part.
func (d *documents) findLowered(ctx context.Context, u *plan.Unique) error {
	parts := uint64(d.Documents/maxRemembered) + 1
	for part := range parts {
		seen, twice := map[[16]byte]bool{}, map[[16]byte]string{}
		hashOf := func(value string) (hash [16]byte, here bool) {
			sum := sha256.Sum256([]byte(value))
			copy(hash[:], sum[:])
			return hash, binary.BigEndian.Uint64(sum[16:])%parts == part
		}
		err := d.eachValue(ctx, u, projectionOf(u), func(value string, _ bson.Raw) {
			if hash, here := hashOf(value); here {
				if seen[hash] {
					twice[hash] = ""
				}
				seen[hash] = true
			}
		})
		if err != nil || len(twice) == 0 {
			if err != nil {
				return err
			}
			continue
		}
		err = d.eachValue(ctx, u, projectionOf(u), func(value string, doc bson.Raw) {
			hash, _ := hashOf(value)
			switch first, found := twice[hash]; {
			case !found:
			case first == "":
				twice[hash] = codec.Show(doc.Lookup("_id"))
			default:
				d.duplicate(u, doc, first)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
