package dynamodb

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
)

// Bounds of the work for one page: so many requests, each of 1 MB at most, and after the first
// one, of so many items.
const (
	maxRequests = 10
	maxItems    = 500
)

// maxSame is how many ids of one sort key a cursor has.
const maxSame = 100

// walk is a page on its way.
type walk struct {
	*Backend
	q        entity.Page
	next     entity.Cursor
	position []string // the attributes that are a position
	fetch    bool     // the index has not all of the items
	done     bool     // what follows is out of bounds
	// ask reads items behind a position.
	ask func(ctx context.Context, start dynamo.Item, limit int32) ([]dynamo.Item, dynamo.Item, error)
}

// Page implements entity.Backend. A page that met little but what is deleted or skipped ends
// early, and may be empty.
func (b *Backend) Page(ctx context.Context, _ ownership.Grant, q entity.Page) (out entity.PageResult, err error) {
	w := &walk{Backend: b, q: q, next: q.After}
	for _, a := range b.codec.KeyAttributes() {
		w.position = append(w.position, a.Name)
	}
	if q.Index < 0 {
		w.scan()
	} else if err := w.query(); err != nil {
		return out, err
	}
	start, err := startOf(q.After)
	if err != nil {
		return out, err
	}
	limit := q.Limit + 1 // so that the last page is known as such
	var full dynamo.Item // the last one that was chosen
	for range maxRequests {
		items, last, err := w.ask(ctx, start, int32(limit))
		if awserr.Is(err, "ValidationException") && !q.After.IsZero() {
			err = fmt.Errorf("%w: %w", entity.ErrCursor, err)
		}
		if err != nil {
			return entity.PageResult{}, b.told(err, "query "+b.plan.Target.Table)
		}
		docs, err := w.docs(ctx, items)
		if err != nil {
			return entity.PageResult{}, err
		}
		for i, item := range items {
			before := w.next
			chosen, err := w.choose(item, docs[i])
			switch {
			case err != nil:
				return entity.PageResult{}, err
			case w.done:
				return out, nil
			case chosen && len(out.Docs) == q.Limit:
				out.Next, err = w.cursor(before, full)
				return out, err
			case chosen:
				out.Docs, full = append(out.Docs, docs[i]), item
			}
		}
		if start = last; len(start) == 0 {
			return out, nil
		}
		if len(out.Docs) == q.Limit {
			break
		}
		limit = maxItems
	}
	out.Next, err = w.cursor(w.next, start)
	return out, err
}

// cursor adds the position of an item.
func (w *walk) cursor(c entity.Cursor, item dynamo.Item) (entity.Cursor, error) {
	at := dynamo.Item{}
	for _, name := range w.position {
		at[name] = item[name]
	}
	text, err := attributevalue.MarshalMapJSON(at)
	if err == nil {
		c.Key, err = bson.Marshal(bson.D{{Key: "at", Value: string(text)}})
	}
	return c, err
}

// place tells an item's position from others.
func (w *walk) place(item dynamo.Item) string {
	var texts []string
	for _, name := range w.position {
		texts = append(texts, codec.KeyText(item[name]))
	}
	return strings.Join(texts, "\x00")
}

// startOf is the position of a cursor, nil for none.
func startOf(c entity.Cursor) (dynamo.Item, error) {
	if c.Key == nil {
		return nil, nil
	}
	text, _ := c.Key.Lookup("at").StringValueOK()
	at, err := attributevalue.UnmarshalMapJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", entity.ErrCursor, err)
	}
	for name, v := range at {
		switch v.(type) {
		case *types.AttributeValueMemberS, *types.AttributeValueMemberN, *types.AttributeValueMemberB: // keys are
		default:
			return nil, fmt.Errorf("%w: attribute %.40q", entity.ErrCursor, name)
		}
	}
	return at, nil
}

// scan has the walk read all of the table.
func (w *walk) scan() {
	w.ask = func(ctx context.Context, start dynamo.Item, limit int32) ([]dynamo.Item, dynamo.Item, error) {
		out, err := w.client.Scan(ctx, &dynamodb.ScanInput{TableName: &w.plan.Target.Table, ConsistentRead: aws.Bool(true),
			ExclusiveStartKey: start, Limit: &limit})
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out.LastEvaluatedKey, nil
	}
}

// query has the walk read an index.
func (w *walk) query() error {
	x, index := expression{}, w.indexes[w.q.Index]
	w.fetch = index.Projection.ProjectionType != types.ProjectionTypeAll
	for _, k := range index.KeySchema {
		if !slices.Contains(w.position, *k.AttributeName) {
			w.position = append(w.position, *k.AttributeName)
		}
	}
	// One bound is the database's: where the walk begins, or else where it ends. See matches for both.
	bound, other, operators := w.q.From, w.q.Below, []string{" >= ", " <= "}
	if w.q.Descending {
		bound, other, operators = other, bound, []string{" <= ", " >= "}
	}
	if w.q.After.Key == nil && !w.q.After.Sort.IsZero() {
		bound = w.q.After.Sort
	}
	if bound.IsZero() {
		bound, operators = other, operators[1:]
	}
	condition := ""
	for n, v := range []bson.RawValue{w.q.Equal, bound} {
		if v.IsZero() {
			continue
		}
		av, err := w.plan.IndexValue(w.q.Index, n, v)
		if err != nil {
			return fmt.Errorf("%w: %w", entity.ErrInvalid, err)
		}
		condition += []string{"", " AND "}[n] + x.name(*index.KeySchema[n].AttributeName) + []string{" = ", operators[0]}[n] + x.value(av)
	}
	w.ask = func(ctx context.Context, start dynamo.Item, limit int32) ([]dynamo.Item, dynamo.Item, error) {
		out, err := w.client.Query(ctx, &dynamodb.QueryInput{TableName: &w.plan.Target.Table, IndexName: index.IndexName,
			KeyConditionExpression: &condition, ScanIndexForward: aws.Bool(!w.q.Descending),
			ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values, ExclusiveStartKey: start, Limit: &limit})
		if err != nil {
			return nil, nil, err
		}
		return out.Items, out.LastEvaluatedKey, nil
	}
	return nil
}

// docs are the documents of items, nil for what is no document, or not in its place of the
// index any more.
func (w *walk) docs(ctx context.Context, items []dynamo.Item) ([]bson.Raw, error) {
	if w.fetch {
		var keys []dynamo.Item
		for _, item := range items {
			keys = append(keys, w.codec.KeyItem(w.codec.KeyOf(item)))
		}
		found, err := w.items(ctx, w.plan.Target.Table, keys)
		if err != nil {
			return nil, err
		}
		whole := map[string]dynamo.Item{}
		for _, item := range found {
			whole[w.place(item)] = item
		}
		for i, item := range items {
			items[i] = whole[w.place(item)]
		}
	}
	return w.read(items)
}

// choose reports whether a document is to be returned, and notes it in the cursor.
func (w *walk) choose(item dynamo.Item, doc bson.Raw) (bool, error) {
	if doc == nil {
		return false, nil
	}
	id, c := doc.Lookup("_id"), &w.next
	if w.q.Index < 0 {
		order, ok := compare(id, c.ID)
		if !ok && !c.ID.IsZero() {
			return false, fmt.Errorf("%w: the order of ids of this kind is not known here", entity.ErrCursor)
		}
		return order > 0 || c.ID.IsZero(), nil
	}
	sort := w.field(1, item, doc)
	if !w.matches(item, doc, sort) {
		return false, nil
	}
	if codec.Identity(sort) != codec.Identity(c.Sort) {
		c.Sort, c.ID, c.Same = sort, bson.RawValue{}, nil
	}
	order, ok := compare(id, c.ID)
	if w.q.Descending {
		order = -order
	}
	was := func(other bson.RawValue) bool { return codec.Identity(other) == codec.Identity(id) }
	if ok && order <= 0 || slices.ContainsFunc(c.Same, was) {
		return false, nil
	}
	c.Same = append(slices.Clone(c.Same[max(0, len(c.Same)+1-maxSame):]), id)
	return true, nil
}

// matches reports whether a document is what MongoDB would return: attributes do not tell all
// types apart. It notes where the walk has come to its end.
func (w *walk) matches(item dynamo.Item, doc bson.Raw, sort bson.RawValue) bool {
	from, fromOK := compare(sort, w.q.From)
	below, belowOK := compare(sort, w.q.Below)
	w.done = w.q.Descending && fromOK && from < 0 || !w.q.Descending && belowOK && below >= 0
	return codec.Identity(w.field(0, item, doc)) == codec.Identity(w.q.Equal) &&
		(w.q.From.IsZero() || fromOK && from >= 0) && (w.q.Below.IsZero() || belowOK && below < 0)
}

// field is the index's nth field of a document, or a computed attribute of its item.
func (w *walk) field(n int, item dynamo.Item, doc bson.Raw) bson.RawValue {
	fields := w.plan.Indexes[w.q.Index].Key
	if n >= len(fields) {
		return bson.RawValue{}
	}
	for _, c := range w.plan.Computed {
		if c.Attribute == fields[n] {
			kind, value, _ := bson.MarshalValue(dynamo.StringOf(item, fields[n])) // a text can be one
			return bson.RawValue{Type: kind, Value: value}
		}
	}
	return doc.Lookup(fields[n])
}

// compare compares two scalar values of one kind as MongoDB does; others it cannot.
func compare(a, b bson.RawValue) (order int, ok bool) {
	x, kindOfX, _ := codec.Scalar(a) // nil where it fails
	y, kindOfY, _ := codec.Scalar(b)
	m, isNumber := x.(*types.AttributeValueMemberN)
	n, both := y.(*types.AttributeValueMemberN)
	if isNumber && both {
		p, _ := new(big.Rat).SetString(m.Value) // the codec writes no others
		q, _ := new(big.Rat).SetString(n.Value)
		return p.Cmp(q), true
	}
	s, isText := x.(*types.AttributeValueMemberS)
	t, both := y.(*types.AttributeValueMemberS)
	if isText && both && kindOfX == kindOfY {
		return strings.Compare(s.Value, t.Value), true
	}
	return 0, false
}
