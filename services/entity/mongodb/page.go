package mongodb

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
)

// Page implements entity.Backend.
func (b *Backend) Page(ctx context.Context, g ownership.Grant, q entity.Page) (entity.PageResult, error) {
	if q.Index < 0 && q.After.Key != nil {
		return entity.PageResult{}, fmt.Errorf("go on behind the order of a table: %w", entity.ErrCursor)
	}
	equal, sorted, err := b.fieldsOf(q.Index)
	if err != nil {
		return entity.PageResult{}, err
	}
	direction, sort := 1, bson.D{}
	if q.Descending {
		direction = -1
	}
	if sorted != "" && sorted != "_id" {
		sort = append(sort, bson.E{Key: sorted, Value: direction})
	}
	docs, err := b.collection.For(g).Find(ctx, b.there(pageFilter(q, equal, sorted)),
		owned.FindOptions{Sort: append(sort, bson.E{Key: "_id", Value: direction}), Limit: q.Limit + 1})
	if err != nil || len(docs) <= q.Limit {
		return entity.PageResult{Docs: docs}, err
	}
	docs = docs[:q.Limit]
	last := docs[q.Limit-1]
	next := entity.Cursor{ID: last.Lookup("_id")}
	if sorted != "" {
		next.Sort = last.Lookup(sorted)
	}
	if sorted != "_id" && codec.Identity(next.Sort) == codec.Identity(q.After.Sort) {
		next.Same = q.After.Same
	}
	return entity.PageResult{Docs: docs, Next: next}, nil
}

// fieldsOf are those of an index of the plan: the one that is equal, and the one that sorts.
func (b *Backend) fieldsOf(index int) (equal, sorted string, err error) {
	if index < 0 {
		return "", "", nil
	}
	x := b.plan.Indexes[index]
	for _, field := range x.Key {
		if slices.ContainsFunc(b.plan.Computed, func(c plan.Computed) bool { return c.Attribute == field }) {
			return "", "", fmt.Errorf("%w: the index %s has the computed attribute %s, which documents in MongoDB do not have", entity.ErrInvalid, x.Name, field)
		}
	}
	if equal = x.Key[0]; len(x.Key) > 1 {
		sorted = x.Key[1]
	}
	return equal, sorted, nil
}

func pageFilter(q entity.Page, equal, sorted string) bson.D {
	var all bson.A
	where := func(field, operator string, v any) {
		all = append(all, bson.D{{Key: field, Value: bson.D{{Key: operator, Value: v}}}})
	}
	if equal != "" {
		where(equal, "$eq", q.Equal)
	}
	if sorted != "" && sorted != "_id" {
		where(sorted, "$ne", nil) // absent or null: in no index of a table
	}
	if !q.From.IsZero() {
		where(sorted, "$gte", q.From)
	}
	if !q.Below.IsZero() {
		where(sorted, "$lt", q.Below)
	}
	if !q.After.IsZero() && (sorted == "" || !q.After.Sort.IsZero()) { // without a sort key none was returned yet
		all = append(all, behind(q, sorted))
	}
	if len(all) == 0 {
		return bson.D{}
	}
	return bson.D{{Key: "$and", Value: all}}
}

// behind selects what comes behind the page's cursor.
func behind(q entity.Page, sorted string) bson.D {
	position, further := q.After.ID, "$gt"
	if sorted == "_id" {
		position = q.After.Sort
	}
	ids := codec.IDRange(position, bson.RawValue{})
	if q.Descending {
		ids, further = codec.IDRange(bson.RawValue{}, position), "$lt"
	}
	returned := slices.Clone(q.After.Same)
	if !position.IsZero() {
		returned = append(returned, position)
	}
	same := bson.A{ids, bson.D{{Key: "_id", Value: bson.D{{Key: "$nin", Value: returned}}}}}
	if sorted == "" || sorted == "_id" {
		return bson.D{{Key: "$and", Value: same}}
	}
	same = append(same, bson.D{{Key: sorted, Value: bson.D{{Key: "$eq", Value: q.After.Sort}}}})
	return bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: sorted, Value: bson.D{{Key: further, Value: q.After.Sort}}}}, bson.D{{Key: "$and", Value: same}}}}}
}
