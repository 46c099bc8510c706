package owned

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// movedInfix is part of each name that the migration gives to a collection.
const movedInfix = "__banyan_"

// believe runs a query, and believes that it found nothing if the server was certain of
// the collection, or if the name meant the same before and after it looked: the
// collection, or, for a read, a view of it. Otherwise a fence is being put up or taken
// down: ErrFenced.
func (h Handle) believe(ctx context.Context, reading bool, query func() (found, certain bool, err error)) (bool, error) {
	found, certain, err := query()
	for range 3 {
		if found || certain || err != nil {
			return found, err
		}
		var before, after namespace
		if before, err = h.look(ctx); err != nil {
			return false, err
		}
		if found, certain, err = query(); found || err != nil {
			return found, err
		}
		if after, err = h.look(ctx); err != nil {
			return false, err
		}
		if before == after && h.means(after, reading) {
			return false, nil
		}
	}
	return false, fmt.Errorf("%s is being fenced: %w", h.name, ownership.ErrFenced)
}

// namespace is what a name means.
type namespace struct {
	kind  string // "collection", "view", "timeseries" or "" for nothing
	uuid  string // of a collection
	moved bool   // nothing has the name, but something one that the migration gives
}

// means reports whether a name that means n is what was granted. A write to a view
// matches nothing on servers that do not refuse it.
func (h Handle) means(n namespace, reading bool) bool {
	if n.kind == "view" {
		return reading
	}
	if h.uuid == "" {
		return !n.moved
	}
	return h.uuid == n.uuid
}

// look finds out what the name means.
func (h Handle) look(ctx context.Context) (namespace, error) {
	specs, err := h.list(ctx)
	return h.namespaceIn(specs), err
}

// locate returns the name that the collection has by now, "" where there is none of its UUID.
func (h Handle) locate(ctx context.Context) (string, error) {
	specs, err := h.list(ctx)
	for _, spec := range specs {
		if spec.UUID != nil && fmt.Sprintf("%x", spec.UUID.Data) == h.uuid {
			return spec.Name, nil
		}
	}
	return "", err
}

func (h Handle) list(ctx context.Context) (specs []mongo.CollectionSpecification, err error) {
	err = h.c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		specs, err = db.ListCollectionSpecifications(ctx, bson.D{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	return specs, nil
}

func (h Handle) namespaceIn(specs []mongo.CollectionSpecification) namespace {
	n := namespace{}
	for _, spec := range specs {
		if spec.Name == h.name {
			n = namespace{kind: spec.Type}
			if spec.UUID != nil {
				n.uuid = fmt.Sprintf("%x", spec.UUID.Data)
			}
			return n
		}
		n.moved = n.moved || strings.HasPrefix(spec.Name, h.c.name+movedInfix)
	}
	return n
}
