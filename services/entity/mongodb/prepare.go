package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// Prepare checks that the collection has the indexes that the plan's constraints, queries and
// outbox need; it makes what is missing if create is set. Call it while MongoDB is the owner. The
// error names what is missing.
func (b *Backend) Prepare(ctx context.Context, g ownership.Grant, create bool) error {
	h := b.collection.For(g)
	all, err := indexesOf(ctx, h)
	if err != nil && !(create && g.CollectionUUID == "" && mongoerr.HasCode(err, mongoerr.NamespaceNotFound)) {
		return err
	}
	missing := b.missingIndexes(all)
	if create {
		return createIndexes(ctx, h, missing)
	}
	var lacks []string
	for _, index := range missing {
		lacks = append(lacks, fmt.Sprint(index))
	}
	if len(lacks) > 0 {
		return fmt.Errorf("the collection of %s lacks what its plan needs; create %s", b.plan.Entity, strings.Join(lacks, ", and "))
	}
	return nil
}

func indexesOf(ctx context.Context, h owned.Handle) ([]plan.SourceIndex, error) {
	raw, err := h.Indexes(ctx)
	all := make([]plan.SourceIndex, len(raw))
	for i, doc := range raw {
		if err := bson.Unmarshal(doc, &all[i]); err != nil {
			return nil, fmt.Errorf("read an index of the server: %w", err)
		}
	}
	return all, err
}

// createIndexes makes indexes one by one, so that an error is that of one.
func createIndexes(ctx context.Context, h owned.Handle, indexes []bson.D) error {
	var all error
	for _, index := range indexes {
		err := h.CreateIndexes(ctx, index)
		if mongo.IsDuplicateKeyError(err) {
			err = fmt.Errorf("two documents share what must be unique (null counts, an absent field does not), change one of them first: %w", err)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("create %v: %w", index, err))
		}
	}
	return all
}

// missingIndexes are those that the plan needs and that are not there.
func (b *Backend) missingIndexes(all []plan.SourceIndex) (missing []bson.D) {
	for n := range b.plan.Unique {
		u := &b.plan.Unique[n]
		if u.Field != "_id" && !slices.ContainsFunc(all, func(i plan.SourceIndex) bool { return guards(&i, u) }) {
			missing = append(missing, uniqueIndex(u))
		}
	}
	for n, x := range b.plan.Indexes {
		if _, _, err := b.fieldsOf(n); err != nil {
			continue // of a computed attribute: asked of the table only
		}
		fields := slices.Compact(append(slices.Clone(x.Key), "_id"))
		if !slices.ContainsFunc(all, func(i plan.SourceIndex) bool { return serves(&i, fields) }) {
			missing = append(missing, index(fields))
		}
	}
	if field := b.plan.Outbox.Field; field != "" {
		keys, name, documents := b.box.field.WaitingIndex()
		if !slices.ContainsFunc(all, func(i plan.SourceIndex) bool { return i.Name == name }) {
			missing = append(missing, bson.D{{Key: "key", Value: keys}, {Key: "name", Value: name}, {Key: "partialFilterExpression", Value: documents}})
		}
	}
	return missing
}

// guards reports whether an index holds a constraint. One that compares bytes holds one of
// lowered texts, too, as the service writes them lowered.
func guards(i *plan.SourceIndex, u *plan.Unique) bool {
	bytes := *u
	bytes.Collation = ""
	return i.CoversAll(u) || i.Collation == nil && i.CoversAll(&bytes)
}

// serves reports whether an index finds documents by the first of some fields in the order of the others.
func serves(i *plan.SourceIndex, fields []string) bool {
	if i.Partial != nil || i.Sparse || i.Collation != nil || len(i.Key) < len(fields) {
		return false
	}
	var directions []any
	for n, field := range fields {
		if _, named := i.Key[n].Value.(string); named || i.Key[n].Key != field {
			return false
		}
		directions = append(directions, i.Key[n].Value)
	}
	return len(fields) < 3 || fmt.Sprint(directions[1]) == fmt.Sprint(directions[2])
}

// index is one on fields, as the command createIndexes has it.
func index(fields []string) bson.D {
	keys := make(bson.D, len(fields))
	for i, field := range fields {
		keys[i] = bson.E{Key: field, Value: int32(1)}
	}
	return bson.D{{Key: "key", Value: keys}, {Key: "name", Value: strings.Join(fields, "_1_") + "_1"}}
}

// uniqueIndex is the one that a constraint needs: documents without one of its fields are in no way of each other.
func uniqueIndex(u *plan.Unique) bson.D {
	filter := u.Filter()
	for _, name := range u.Names() {
		if !slices.ContainsFunc(filter, func(e bson.E) bool { return e.Key == name }) {
			filter = append(filter, bson.E{Key: name, Value: bson.D{{Key: "$exists", Value: true}}})
		}
	}
	made := append(index(u.Names()), bson.E{Key: "unique", Value: true}, bson.E{Key: "partialFilterExpression", Value: filter})
	if u.Collation == plan.CollationLower {
		made = append(made, bson.E{Key: "collation", Value: bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 2}}})
	}
	return made
}

// collation is that of the index of a constraint of lowered texts, nil for none.
func (b *Backend) collation(ctx context.Context, h owned.Handle, constraint int) (bson.Raw, error) {
	b.mu.Lock()
	c, known := b.texts[constraint]
	b.mu.Unlock()
	if known {
		return c, nil
	}
	all, err := indexesOf(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.CoversAll(&b.plan.Unique[constraint]) {
			c = i.Collation
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.texts[constraint] = c
	return c, nil
}
