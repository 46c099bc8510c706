package entitytest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
)

// getMany returns what there is in the order of the ids.
func (k *kit) getMany() stages {
	var docs []bson.Raw
	get := func(t *testing.T) {
		w, err := k.a.Update(t.Context(), id(docs[1]), setting(t, valueField, "another version than the others"), entity.Options{})
		must(t, err)
		docs[1] = w.Doc
		absent := id(k.document(t))
		got, err := k.b.GetMany(t.Context(), id(docs[2]), absent, id(docs[0]), id(docs[2]), id(docs[1]))
		must(t, err)
		k.mustBeAll(t, got, docs[2], docs[0], docs[1])
		got, err = k.b.GetMany(t.Context())
		if err != nil || len(got) > 0 {
			t.Errorf("GetMany of nothing: %v, %v", got, err)
		}
		many := make([]any, entity.MaxMany)
		for i := range many {
			many[i] = id(k.document(t))
		}
		got, err = k.b.GetMany(t.Context(), append(many[1:], id(docs[0]))...)
		must(t, err)
		k.mustBeAll(t, got, docs[0])
		_, err = k.b.GetMany(t.Context(), append(many, id(docs[0]))...)
		is(t, "GetMany of too many", err, entity.ErrInvalid)
		k.last -= entity.MaxMany
	}
	return stages{
		func(t *testing.T) {
			for range 3 {
				docs = append(docs, k.create(t, k.document(t)))
			}
			get(t)
		}, get, get,
	}
}

func (k *kit) mustBeAll(t testing.TB, got []bson.Raw, want ...bson.Raw) {
	t.Helper()
	c := k.w.cfg.Plan.Codec()
	if !slices.EqualFunc(got, want, func(a, b bson.Raw) bool { return bytes.Equal(c.Kept(a), c.Kept(b)) }) {
		t.Errorf("got %d documents:\n%v\nwant %d:\n%v", len(got), got, len(want), want)
	}
}

// invalid is what never can work, whichever database owns.
func (k *kit) invalid() stages {
	check := func(t *testing.T) {
		doc := k.document(t)
		change := setting(t, valueField, "x")
		for _, id := range []any{nil, bson.Regex{Pattern: "x"}, bson.A{}, struct{ F func() }{}} {
			_, getErr := k.a.Get(t.Context(), id)
			_, updateErr := k.a.Update(t.Context(), id, change, entity.Options{})
			_, deleteErr := k.a.Delete(t.Context(), id, entity.Options{})
			for what, err := range map[string]error{"Get": getErr, "Update": updateErr, "Delete": deleteErr} {
				is(t, fmt.Sprintf("%s of %T", what, id), err, entity.ErrInvalid)
			}
		}
		_, err := k.a.Create(t.Context(), marshal(t, bson.D{{Key: "a", Value: 1}}), entity.Options{})
		is(t, "Create without an _id", err, entity.ErrInvalid)
		_, err = k.a.Create(t.Context(), slices.Clone(doc[:len(doc)-3]), entity.Options{})
		is(t, "Create of no document", err, entity.ErrInvalid)
		_, err = k.a.Update(t.Context(), id(doc), change, entity.Options{})
		is(t, "Update of nothing", err, entity.ErrNotFound)
		_, err = k.a.Delete(t.Context(), id(doc), entity.Options{})
		is(t, "Delete of nothing", err, entity.ErrNotFound)
		doc = k.create(t, doc)
		_, err = k.a.Update(t.Context(), id(doc), func(bson.Raw) (bson.Raw, error) { return k.document(t), nil }, entity.Options{})
		is(t, "Update of the _id", err, entity.ErrInvalid)
		mine := errors.New("a rule of the domain")
		_, err = k.a.Update(t.Context(), id(doc), func(bson.Raw) (bson.Raw, error) { return nil, mine }, entity.Options{})
		is(t, "Update that is refused", err, mine)
		k.mustHave(t, doc)
		for what, q := range map[string]entity.Query{
			"no such index": {Index: "no such index", Equal: 1}, "a value without an index": {Equal: 1}, "a limit below 1": {Limit: -1},
			"a limit above all": {Limit: entity.MaxMany + 1}, "an order without an index": {Descending: true}, "bounds without an index": {From: 1},
		} {
			_, _, err := k.a.Query(t.Context(), q)
			is(t, what, err, entity.ErrInvalid)
		}
		_, _, err = k.a.Query(t.Context(), entity.Query{Cursor: "not a cursor"})
		is(t, "no cursor", err, entity.ErrCursor)
		_, err = k.a.ByUnique(t.Context(), bson.D{{Key: "no such field", Value: 1}})
		is(t, "ByUnique without a constraint", err, entity.ErrInvalid)
	}
	return stages{check, check, check}
}

// all reads all pages, from a cursor on.
func (k *kit) all(t testing.TB, q entity.Query) (docs []bson.Raw) {
	t.Helper()
	for pages := 0; ; pages++ {
		page, next, err := k.b.Query(t.Context(), q)
		must(t, err)
		if len(page) > max(q.Limit, 1) && q.Limit > 0 || pages > casesDocuments {
			t.Fatalf("page %d has %d documents, the limit is %d", pages, len(page), q.Limit)
		}
		docs = append(docs, page...)
		if q.Cursor = next; next == "" {
			return docs
		}
	}
}

// list: all documents are there once, whatever is written meanwhile and whoever owns; a cursor
// of a table is none in MongoDB.
func (k *kit) list() stages {
	var docs, seen []bson.Raw
	var q entity.Query
	page := func(t *testing.T) {
		next, cursor, err := k.a.Query(t.Context(), q)
		must(t, err)
		q.Cursor, seen = cursor, append(seen, next...)
	}
	complete := func(t *testing.T, got []bson.Raw) {
		k.mustBeOnce(t, got, docs)
	}
	return stages{
		func(t *testing.T) {
			for range 12 {
				docs = append(docs, k.create(t, k.document(t)))
			}
			for _, limit := range []int{0, 7} {
				complete(t, k.all(t, entity.Query{Limit: limit}))
			}
			q.Limit = 5
			page(t)
			if k.owner != "" {
				complete(t, append(seen, k.all(t, q)...))
			}
		},
		func(t *testing.T) { // the cursor is MongoDB's, the database is DynamoDB
			complete(t, append(slices.Clone(seen), k.all(t, q)...))
			complete(t, k.all(t, entity.Query{Limit: 7}))
			q, seen = entity.Query{Limit: 5}, nil
			page(t)
		},
		func(t *testing.T) { // the cursor is DynamoDB's, the database is MongoDB
			if k.owner == "" {
				_, _, err := k.a.Query(t.Context(), q)
				is(t, "a table's cursor in MongoDB", err, entity.ErrCursor)
			}
			complete(t, k.all(t, entity.Query{Limit: 7}))
		},
	}
}

// mustBeOnce: of some documents each is there once, among others.
func (k *kit) mustBeOnce(t testing.TB, got, want []bson.Raw) {
	t.Helper()
	times := map[string]int{}
	for _, doc := range got {
		times[codec.Identity(id(doc))]++
	}
	for _, doc := range want {
		if n := times[codec.Identity(id(doc))]; n != 1 {
			t.Errorf("%v is listed %d times", id(doc), n)
		}
	}
}

// indexed is an index of the plan whose first field many documents can share, and the types of
// its fields.
type indexed struct {
	name, equal, sort string
	kinds             map[string]string
}

func (k *kit) indexes() (all []indexed) {
	p := k.w.cfg.Plan
	kinds := map[string]string{}
	for _, f := range p.Fields {
		kinds[f.From] = f.Type
	}
	used := []string{"_id", p.VersionField}
	for _, u := range p.Unique {
		used = append(used, u.Reads()...)
	}
	if p.TTL != nil {
		used = append(used, p.TTL.Field)
	}
	for _, paths := range p.Codec().KeyFields() {
		used = append(used, paths...)
	}
	for _, x := range p.Indexes {
		i := indexed{name: x.Name, equal: x.Key[0], kinds: kinds}
		if len(x.Key) > 1 {
			i.sort = x.Key[1]
		}
		if kinds[i.equal] != "" && !slices.Contains(used, i.equal) && (i.sort == "" || kinds[i.sort] != "" && !slices.Contains(used, i.sort)) {
			all = append(all, i)
		}
	}
	return all
}

// queries: an index lists what has one value, in its order, on both sides of a change of owner.
func (k *kit) queries() stages {
	var all []*querying
	run := func(step func(*querying, *testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			for _, q := range all {
				t.Run(q.name, func(t *testing.T) { step(q, t) })
			}
		}
	}
	for n, x := range k.indexes() {
		all = append(all, &querying{kit: k, indexed: x, shared: valueOf(x.kinds[x.equal], x.equal, -k.last-n)})
	}
	if len(all) == 0 {
		return nil
	}
	return stages{run((*querying).begin), run((*querying).goOn), run((*querying).goOn)}
}

// querying is a query that is under way, one forth and one back.
type querying struct {
	*kit
	indexed
	shared       any        // value of the first field
	docs         []bson.Raw // in their order
	forth, back  entity.Query
	given, taken []bson.Raw
}

// sharing is how many documents have one sort key.
const sharing = 3

func (q *querying) value(field string, n int) any { return valueOf(q.kinds[field], field, n) }

// add makes a document with a sort key.
func (q *querying) add(t *testing.T, sort int) bson.Raw {
	t.Helper()
	more := bson.D{{Key: q.equal, Value: q.shared}}
	if q.sort != "" {
		more = append(more, bson.E{Key: q.sort, Value: q.value(q.sort, sort)})
	}
	return q.create(t, q.document(t, more...))
}

func (q *querying) begin(t *testing.T) {
	for n := range 24 {
		q.docs = append(q.docs, q.add(t, 10*(n/sharing)))
	}
	q.forth = entity.Query{Index: q.name, Equal: q.shared, Limit: 4}
	q.back = q.forth
	q.back.Descending = true
	q.awaitAll(t)
	if q.sort != "" {
		q.bounds(t)
	}
	_, cursor, err := q.a.Query(t.Context(), q.forth)
	must(t, err)
	other := q.back
	other.Cursor = cursor
	_, _, err = q.a.Query(t.Context(), other)
	is(t, "a cursor of another query", err, entity.ErrCursor)
	q.page(t)
	if q.owner != "" {
		q.goOn(t)
	}
}

// awaitAll waits until the index has all documents, and checks their order.
func (q *querying) awaitAll(t *testing.T) {
	t.Helper()
	eventually(t, "the index has all documents", func() bool { return len(q.all(t, q.forth)) == len(q.docs) })
	for _, limit := range []int{1, 4, 5, 24, 0} {
		for _, query := range []entity.Query{q.forth, q.back} {
			query.Limit = limit
			q.mustBeSorted(t, query, q.kit.all(t, query), q.docs)
		}
	}
}

// mustBeSorted: each document once, by sort keys.
func (q *querying) mustBeSorted(t testing.TB, query entity.Query, got, want []bson.Raw) {
	t.Helper()
	q.mustBeOnce(t, got, want)
	if len(got) != len(want) {
		t.Errorf("%d documents instead of %d", len(got), len(want))
	}
	if q.sort == "" {
		return
	}
	at := map[string]int{}
	for i, doc := range want {
		at[codec.Identity(id(doc))] = i / sharing
	}
	for i := range got[:max(0, len(got)-1)] {
		this, next := at[codec.Identity(id(got[i]))], at[codec.Identity(id(got[i+1]))]
		if this > next != query.Descending && this != next {
			t.Fatalf("descending %v: document %d comes before %d", query.Descending, this, next)
		}
	}
}

func (q *querying) bounds(t *testing.T) {
	t.Helper()
	for name, c := range map[string]struct{ from, below, first, end int }{
		"both": {10, 30, 3, 9}, "from": {20, -1, 6, 24}, "below": {-1, 20, 0, 6}, "between": {15, 16, 0, 0}, "behind all": {1000, -1, 0, 0},
	} {
		query := q.forth
		if c.from >= 0 {
			query.From = q.value(q.sort, c.from)
		}
		if c.below >= 0 {
			query.Below = q.value(q.sort, c.below)
		}
		for _, query.Descending = range []bool{false, true} {
			if got := q.all(t, query); len(got) != c.end-c.first {
				t.Errorf("%s: %d documents, want %d", name, len(got), c.end-c.first)
			} else {
				q.mustBeOnce(t, got, q.docs[c.first:c.end])
			}
		}
	}
}

// page reads the next page of each.
func (q *querying) page(t *testing.T) {
	t.Helper()
	for query, docs := range map[*entity.Query]*[]bson.Raw{&q.forth: &q.given, &q.back: &q.taken} {
		page, next, err := q.a.Query(t.Context(), *query)
		must(t, err)
		if next == "" {
			t.Fatalf("%d documents are all", len(page))
		}
		query.Cursor, *docs = next, append(*docs, page...)
	}
}

// goOn reads a page, and the rest: nothing is left out, and nothing comes twice.
func (q *querying) goOn(t *testing.T) {
	q.awaitIndex(t)
	for _, one := range []struct {
		query entity.Query
		seen  []bson.Raw
	}{{q.forth, q.given}, {q.back, q.taken}} {
		q.mustBeSorted(t, one.query, append(slices.Clone(one.seen), q.all(t, one.query)...), q.docs)
	}
	q.page(t)
}

// awaitIndex waits until what a migration has written is in the index.
func (q *querying) awaitIndex(t *testing.T) {
	t.Helper()
	whole := q.forth
	whole.Cursor = ""
	eventually(t, "the index has all documents", func() bool { return len(q.all(t, whole)) == len(q.docs) })
}

// expired: what DynamoDB will delete for its age is absent.
func (k *kit) expired() stages {
	p := k.w.cfg.Plan
	if p.TTL == nil || k.owner != ownership.DynamoDB {
		return nil
	}
	return stages{func(t *testing.T) {
		expire := setting(t, p.TTL.Field, time.UnixMilli(1e12).UTC())
		doc := k.create(t, k.document(t))
		_, err := k.a.Update(t.Context(), id(doc), expire, entity.Options{})
		must(t, err)
		k.mustMiss(t, id(doc))
		if many, err := k.a.GetMany(t.Context(), id(doc)); err != nil || len(many) > 0 {
			t.Errorf("GetMany of what has expired: %v, %v", many, err)
		}
		_, err = k.a.Update(t.Context(), id(doc), expire, entity.Options{})
		is(t, "Update of what has expired", err, entity.ErrNotFound)
		for _, u := range p.Unique {
			if u.Field != "_id" {
				_, err = k.a.ByUnique(t.Context(), only(t, doc, u.Names()))
				is(t, "ByUnique of what has expired", err, entity.ErrNotFound)
			}
		}
		for _, other := range k.all(t, entity.Query{}) {
			if bytes.Equal(id(other).Value, id(doc).Value) {
				t.Error("what has expired is listed")
			}
		}
		k.mustHave(t, k.create(t, with(t, doc, "_id", id(k.document(t))))) // its unique values are free
		k.mustHave(t, k.create(t, with(t, k.document(t), "_id", id(doc))))
	}}
}
