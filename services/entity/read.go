package entity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/shadow"
)

// MaxMany is how many documents GetMany returns, and a page has, at most.
const MaxMany = 500

// Get returns one document. ErrInvalid, ErrNotFound.
func (s *Store) Get(ctx context.Context, id any) (bson.Raw, error) {
	docs, err := s.GetMany(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, fmt.Errorf("get %s %s: %w", s.cfg.Plan.Entity, s.show(id), ErrNotFound)
	}
	return docs[0], nil
}

// GetMany returns those of the documents that exist, in the order of ids, each once. ErrInvalid.
func (s *Store) GetMany(ctx context.Context, ids ...any) ([]bson.Raw, error) {
	if len(ids) > MaxMany {
		return nil, fmt.Errorf("%w: %d ids at once, allowed are %d", ErrInvalid, len(ids), MaxMany)
	}
	var distinct []bson.RawValue
	seen := map[string]bool{}
	for _, id := range ids {
		v, err := s.idOf(id)
		if err != nil {
			return nil, err
		}
		if is := codec.Identity(v); !seen[is] {
			seen[is] = true
			distinct = append(distinct, v)
		}
	}
	if len(distinct) == 0 {
		return nil, nil
	}
	var docs []bson.Raw
	err := s.read(ctx, func(ctx context.Context, b Backend, g ownership.Grant) (err error) {
		docs, err = b.Get(ctx, g, distinct...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %d of %s: %w", len(distinct), s.cfg.Plan.Entity, err)
	}
	found := map[string]bson.Raw{}
	for _, doc := range docs {
		found[codec.Identity(doc.Lookup("_id"))] = s.clean(doc)
	}
	all := make([]bson.Raw, 0, len(found))
	for _, id := range distinct {
		if doc, ok := found[codec.Identity(id)]; ok {
			all = append(all, doc)
		}
	}
	if s.shadow != nil {
		key, _ := bson.Marshal(bson.D{{Key: "_id", Value: distinct[0]}})
		s.shadow.Compare(string(key))
	}
	return all, nil
}

// ByUnique returns the document that has these values under the plan's constraint on exactly
// those fields. ErrInvalid, ErrNotFound.
func (s *Store) ByUnique(ctx context.Context, values bson.D) (bson.Raw, error) {
	var names []string
	for _, v := range values {
		names = append(names, v.Key)
	}
	slices.Sort(names)
	constraint := -1
	for i, u := range s.cfg.Plan.Unique {
		if slices.Equal(slices.Sorted(slices.Values(u.Names())), names) {
			constraint = i
		}
	}
	doc, err := bson.Marshal(values)
	if constraint < 0 || err != nil {
		return nil, fmt.Errorf("%w: %s has no unique constraint on %s", ErrInvalid, s.cfg.Plan.Entity, strings.Join(names, ", "))
	}
	var found bson.Raw
	err = s.read(ctx, func(ctx context.Context, b Backend, g ownership.Grant) (err error) {
		found, err = b.ByUnique(ctx, g, constraint, doc)
		return err
	})
	if err == nil && found == nil {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("get %s by %s: %w", s.cfg.Plan.Entity, strings.Join(names, ", "), err)
	}
	return s.clean(found), nil
}

// Query asks for documents by an index of the plan, in the order of its second field.
type Query struct {
	// Index is its name in the plan. "" asks for all documents, in no useful order.
	Index string
	// Equal is the value of its first field.
	Equal any
	// From and Below bound its second field, inclusively and exclusively; nil for no bound.
	From, Below any
	Descending  bool
	// Limit is how many documents to return at most, up to MaxMany. Default 50.
	Limit int
	// Cursor is that of the page before, of the same query with any limit.
	Cursor string
}

// Query returns a page of documents, and the cursor of the next, "" when there is none. A
// cursor is good across a change of owner: no document that is there all the time is left
// out, and one comes twice only where more than a hundred have one sort key. ErrInvalid, ErrCursor.
func (s *Store) Query(ctx context.Context, q Query) ([]bson.Raw, string, error) {
	page, err := s.page(q)
	if err != nil {
		return nil, "", err
	}
	var out PageResult
	err = s.read(ctx, func(ctx context.Context, b Backend, g ownership.Grant) (err error) {
		out, err = b.Page(ctx, g, page)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("query %s: %w", s.cfg.Plan.Entity, err)
	}
	for i, doc := range out.Docs {
		out.Docs[i] = s.clean(doc)
	}
	if !out.Next.IsZero() {
		out.Next.Query = page.After.Query
	}
	return out.Docs, out.Next.String(), nil
}

func (s *Store) page(q Query) (Page, error) {
	page := Page{Index: -1, Descending: q.Descending, Limit: q.Limit}
	if page.Limit == 0 {
		page.Limit = 50
	}
	if page.Limit < 1 || page.Limit > MaxMany {
		return page, fmt.Errorf("%w: limit %d must be 1 to %d", ErrInvalid, q.Limit, MaxMany)
	}
	sorted := false
	for i, x := range s.cfg.Plan.Indexes {
		if x.Name == q.Index {
			page.Index, sorted = i, len(x.Key) > 1
		}
	}
	switch {
	case q.Index != "" && page.Index < 0:
		return page, fmt.Errorf("%w: the plan of %s has no index %.100q: add one, or look by id", ErrInvalid, s.cfg.Plan.Entity, q.Index)
	case (q.Index == "") == (q.Equal != nil):
		return page, fmt.Errorf("%w: a query by an index needs a value of its first field, and no other has one", ErrInvalid)
	case !sorted && (q.From != nil || q.Below != nil), q.Index == "" && q.Descending:
		return page, fmt.Errorf("%w: only an index with a second field has an order, and bounds", ErrInvalid)
	}
	for _, v := range []struct {
		n    int // of the index's fields
		from any
		to   *bson.RawValue
	}{{0, q.Equal, &page.Equal}, {1, q.From, &page.From}, {1, q.Below, &page.Below}} {
		if v.from == nil {
			continue
		}
		kind, value, err := bson.MarshalValue(v.from)
		*v.to = bson.RawValue{Type: kind, Value: value}
		if err == nil {
			_, err = s.cfg.Plan.IndexValue(page.Index, v.n, *v.to)
		}
		if err != nil {
			return page, fmt.Errorf("%w: %.100v: %w", ErrInvalid, v.from, err)
		}
	}
	var err error
	if page.After, err = ParseCursor(q.Cursor); err != nil {
		return page, err
	}
	digest := sha256.Sum256(fmt.Append(nil, q.Index, q.Descending, page.Equal, page.From, page.Below))
	is := base64.RawStdEncoding.EncodeToString(digest[:9])
	if !page.After.IsZero() && page.After.Query != is {
		return page, fmt.Errorf("the cursor is of another query: %w", ErrCursor)
	}
	page.After.Query = is
	return page, nil
}

// clean takes off what the outbox has in a document.
func (s *Store) clean(doc bson.Raw) bson.Raw {
	return without(doc, s.cfg.Plan.Outbox.Fields()...)
}

func (s *Store) show(id any) string {
	v, _ := s.idOf(id)
	return codec.Show(v)
}

// shadowRead is how one database is read beside the other. The key is a document of an _id.
func (s *Store) shadowRead(b Backend) shadow.Read[bson.Raw] {
	return func(ctx context.Context, g ownership.Grant, key string) (bson.Raw, bool, error) {
		docs, err := b.Get(ctx, g, bson.Raw(key).Lookup("_id"))
		if err != nil || len(docs) == 0 {
			return nil, false, err
		}
		return s.codec.Kept(docs[0]), true, nil
	}
}

// differ names the fields in which two documents differ.
func (s *Store) differ(a, b bson.Raw) string {
	if string(a) == string(b) {
		return ""
	}
	var names []string
	for name := range union(a, b) {
		if !a.Lookup(name).Equal(b.Lookup(name)) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "order of the fields"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
