package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/mongodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ordersPlan = `
entity: orders
source: {collection: orders}
target: {table: orders, key: {type: mixed}}
versionField: version
unique:
  - {field: number, table: orders-numbers}
  - {fields: [shop, receipt], where: [{field: open, equals: true}], table: orders-receipts}
indexes:
  - {name: by-customer, key: [customer, placed]}
  - {name: by-shop, key: [shop]}
fields:
  - {from: customer, type: string}
  - {from: placed, type: int64}
  - {from: shop, type: string}
outbox: {field: _outbox, table: orders-outbox}
`

var grant = ownership.Grant{Owner: ownership.MongoDB, Epoch: 1}

type always struct{}

func (always) Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error {
	return fn(ctx, grant)
}

type world struct {
	t    *testing.T
	db   *mongo.Database
	plan *plan.Plan
	*mongodb.Backend
}

func newWorld(t *testing.T, change ...string) *world {
	t.Helper()
	w := openWorld(t, change...)
	if err := w.Prepare(t.Context(), grant, true); err != nil {
		t.Fatal(err)
	}
	return w
}

func openWorld(t *testing.T, change ...string) *world {
	t.Helper()
	uri := mongodbtest.Start(t, nil)
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	p, err := plan.Parse("orders.yaml", []byte(strings.NewReplacer(change...).Replace(ordersPlan)))
	if err != nil {
		t.Fatal(err)
	}
	db := client.Database(mongodbtest.Database(uri))
	return &world{t, db, p, mongodb.New(mongoclient.Of(db), p, always{})}
}

func raw(t *testing.T, v any) bson.Raw {
	t.Helper()
	doc, err := bson.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func (w *world) event(id string) events.Event {
	return events.Event{Type: "com.example.order.changed.v1", Version: 1, Source: "/orders", ID: id, Subject: "1", PartitionKey: "1",
		Sequence: fmt.Sprintf("%020d", 1), Time: time.Unix(0, 0).UTC(), Data: []byte(`{}`)}
}

func (w *world) write(before, after bson.Raw, ids ...string) entity.Write {
	of := after
	if after == nil {
		of = before
	}
	wr := entity.Write{ID: of.Lookup("_id"), Before: before, After: after}
	for _, id := range ids {
		wr.Events = append(wr.Events, w.event(id))
	}
	return wr
}

// insert makes a document of what v says, and returns it.
func (w *world) insert(v bson.D, ids ...string) bson.Raw {
	w.t.Helper()
	doc := raw(w.t, append(v, bson.E{Key: "version", Value: int64(1)}))
	if _, err := w.Insert(w.t.Context(), grant, w.write(nil, doc, ids...)); err != nil {
		w.t.Fatal(err)
	}
	return w.get(v[0].Value)
}

func (w *world) get(id any) bson.Raw {
	w.t.Helper()
	doc, err := w.db.Collection("orders").FindOne(w.t.Context(), bson.D{{Key: "_id", Value: id}}).Raw()
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		w.t.Fatal(err)
	}
	return doc
}

func (w *world) waiting(id any) string {
	w.t.Helper()
	left, _ := w.Waiting(raw(w.t, bson.D{{Key: "_id", Value: id}}).Lookup("_id"))
	entries, err := w.Box().Waiting(w.t.Context(), left.Place)
	if err != nil {
		w.t.Fatal(err)
	}
	return idsOf(entries)
}

func idsOf(entries []direct.Entry) string {
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

// TestReplace changes what differs, keeps every type, and touches neither what others have put into the
// document nor what waits there.
func TestReplace(t *testing.T) {
	w := newWorld(t)
	price, _ := bson.ParseDecimal128("1.10")
	w.insert(bson.D{{Key: "_id", Value: 1}, {Key: "price", Value: price}, {Key: "old", Value: "x"}, {Key: "a.b", Value: 1},
		{Key: "deep", Value: bson.D{{Key: "c.d", Value: bson.A{nil, bson.MinKey{}}}, {Key: "$x", Value: 2}}}}, "e1")
	before := w.get(1)
	if _, err := w.db.Collection("orders").UpdateByID(t.Context(), 1, bson.D{{Key: "$set", Value: bson.D{{Key: "stranger", Value: 5}}}}); err != nil {
		t.Fatal(err)
	}
	after := raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "price", Value: price}, {Key: "a.b", Value: 1}, {Key: "new", Value: bson.A{}},
		{Key: "deep", Value: bson.D{{Key: "$x", Value: 3}}}, {Key: "version", Value: int64(2)}})
	left, err := w.Replace(t.Context(), grant, w.write(before, after, "e2"))
	if err != nil || len(left.Own) != 1 {
		t.Fatalf("%+v %v", left, err)
	}
	got := w.get(1)
	if got.Lookup("stranger").IsZero() || !got.Lookup("old").IsZero() || !got.Lookup("price").Equal(after.Lookup("price")) ||
		!got.Lookup("deep").Equal(after.Lookup("deep")) || !got.Lookup("new").Equal(after.Lookup("new")) || w.waiting(1) != "e1 e2" {
		t.Errorf("%s, where %s wait", got, w.waiting(1))
	}
	if _, err := w.Replace(t.Context(), grant, w.write(before, after)); !errors.Is(err, entity.ErrChanged) {
		t.Errorf("a write of an old version = %v", err)
	}
	anew := raw(t, bson.D{{Key: "_id", Value: 1}, {Key: "price", Value: price}, {Key: "version", Value: int64(2)}})
	if _, err := w.db.Collection("orders").ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, anew); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Replace(t.Context(), grant, w.write(got, after)); !errors.Is(err, entity.ErrChanged) {
		t.Errorf("a write of a document that was made anew with the same version = %v", err)
	}
	if _, err := w.Delete(t.Context(), grant, w.write(got, nil)); !errors.Is(err, entity.ErrChanged) {
		t.Errorf("a delete of a document that was made anew with the same version = %v", err)
	}
}

// TestStrangeNames: a field whose name an update would take for a path, or for none, is a field.
func TestStrangeNames(t *testing.T) {
	w := newWorld(t)
	for n, names := range [][2]string{{"a.b", "a"}, {"", "a"}, {"0", "1.2"}} {
		id := n + 10
		before := w.insert(bson.D{{Key: "_id", Value: id}, {Key: names[0], Value: 1}, {Key: names[1], Value: bson.D{{Key: "b", Value: 1}}}}, "e1")
		after := raw(t, bson.D{{Key: "_id", Value: id}, {Key: names[0], Value: 2}, {Key: names[1], Value: bson.D{{Key: "b", Value: 1}, {Key: "c.d", Value: 1}}},
			{Key: "version", Value: int64(2)}})
		if _, err := w.Replace(t.Context(), grant, w.write(before, after, "e2")); err != nil {
			t.Errorf("%q: %v", names, err)
			continue
		}
		got := w.get(id)
		for _, name := range names {
			if !got.Lookup(name).Equal(after.Lookup(name)) {
				t.Errorf("%q: %s", name, got)
			}
		}
		if w.waiting(id) != "e1 e2" {
			t.Errorf("%q: %s wait", names, w.waiting(id))
		}
		if _, err := w.Replace(t.Context(), grant, w.write(got, raw(t, bson.D{{Key: "_id", Value: id}, {Key: "version", Value: int64(3)}}))); err != nil {
			t.Errorf("remove %q: %v", names, err)
		}
		if w.waiting(id) != "e1 e2" {
			t.Errorf("removed %q: %s wait", names, w.waiting(id))
		}
	}
	dollar := w.insert(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 1}, {Key: "$x", Value: 1}})
	next := bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 2}, {Key: "$x", Value: 1}, {Key: "version", Value: int64(2)}}
	if _, err := w.Replace(t.Context(), grant, w.write(dollar, raw(t, next))); err != nil || w.get(1).Lookup("$x").IsZero() {
		t.Errorf("beside a field with a dollar sign: %v %s", err, w.get(1))
	}
	next = bson.D{{Key: "_id", Value: 1}, {Key: "$x", Value: 7}, {Key: "version", Value: int64(3)}}
	if _, err := w.Replace(t.Context(), grant, w.write(w.get(1), raw(t, next))); !errors.Is(err, entity.ErrInvalid) {
		t.Errorf("change of a field with a dollar sign = %v", err)
	}
}

// TestRefusals say which document, or which value, is in the way.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	first := w.insert(bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "shop", Value: "s"}, {Key: "receipt", Value: 1},
		{Key: "open", Value: true}})
	w.insert(bson.D{{Key: "_id", Value: "b"}})
	w.insert(bson.D{{Key: "_id", Value: "c"}, {Key: "shop", Value: "s"}, {Key: "receipt", Value: 1}})
	insert := func(doc bson.D) error {
		_, err := w.Insert(t.Context(), grant, w.write(nil, raw(t, doc)))
		return err
	}
	if err := insert(bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}}); !errors.Is(err, entity.ErrExists) {
		t.Errorf("the same id = %v", err)
	}
	for fields, doc := range map[string]bson.D{
		"number":       {{Key: "_id", Value: "d"}, {Key: "number", Value: 1.0}},
		"shop receipt": {{Key: "_id", Value: "d"}, {Key: "shop", Value: "s"}, {Key: "receipt", Value: 1}, {Key: "open", Value: true}},
	} {
		var taken *entity.TakenError
		if err := insert(doc); !errors.As(err, &taken) || strings.Join(taken.Fields, " ") != fields {
			t.Errorf("the same %s = %v", fields, err)
		}
		doc = append(slices.Clone(doc), bson.E{Key: "version", Value: int64(2)})
		doc[0].Value = "b"
		if _, err := w.Replace(t.Context(), grant, w.write(w.get("b"), raw(t, doc))); !errors.As(err, &taken) || strings.Join(taken.Fields, " ") != fields {
			t.Errorf("a change to the same %s = %v", fields, err)
		}
	}
	if err := insert(bson.D{{Key: "_id", Value: "e"}, {Key: "large", Value: strings.Repeat("x", 17<<20)}}); !errors.Is(err, entity.ErrUnfit) {
		t.Errorf("17 MB = %.200v", err)
	}
	for i, want := range []bool{true, true, false} {
		doc := raw(t, [][]bson.E{{{Key: "number", Value: int64(1)}}, {{Key: "receipt", Value: 1}, {Key: "shop", Value: "s"}}, {{Key: "number", Value: nil}}}[i])
		got, err := w.ByUnique(t.Context(), grant, []int{0, 1, 0}[i], doc)
		if err != nil || (got != nil) != want || want && !got.Lookup("_id").Equal(first.Lookup("_id")) {
			t.Errorf("by unique %s: %s %v", doc, got, err)
		}
	}
}

// TestPages come in the order of the sort key and then of the ids, of every type, without a gap.
func TestPages(t *testing.T) {
	w := newWorld(t)
	oid := bson.NewObjectID()
	ids := []any{1, 2.5, int64(3), "a", "b", bson.D{{Key: "x", Value: 1}}, bson.Binary{Data: []byte{1}}, oid, true, bson.DateTime(5)}
	for i, id := range ids {
		w.insert(bson.D{{Key: "_id", Value: id}, {Key: "customer", Value: "c"}, {Key: "shop", Value: "s"}, {Key: "placed", Value: int64(i / 4)}})
	}
	w.insert(bson.D{{Key: "_id", Value: "without"}, {Key: "customer", Value: "c"}})
	w.insert(bson.D{{Key: "_id", Value: "others"}, {Key: "customer", Value: "d"}, {Key: "placed", Value: int64(1)}})
	value := func(v any) bson.RawValue { return raw(t, bson.D{{Key: "v", Value: v}}).Lookup("v") }
	pages := func(q entity.Page) (all []string) {
		for {
			out, err := w.Page(t.Context(), grant, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range out.Docs {
				all = append(all, doc.Lookup("_id").String())
			}
			if out.Next.IsZero() {
				return all
			}
			q.After = out.Next
		}
	}
	var want []string
	for _, id := range ids {
		want = append(want, value(id).String())
	}
	for limit := 1; limit < 5; limit++ {
		if got := pages(entity.Page{Index: 0, Equal: value("c"), Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("by customer, %d at once: %s", limit, got)
		}
		if got := pages(entity.Page{Index: 1, Equal: value("s"), Limit: limit}); !slices.Equal(got, want) {
			t.Errorf("by shop, %d at once: %s", limit, got)
		}
		if got := pages(entity.Page{Index: 0, Equal: value("c"), From: value(int64(1)), Below: value(int64(2)), Limit: limit}); !slices.Equal(got, want[4:8]) {
			t.Errorf("within bounds, %d at once: %s", limit, got)
		}
		got := pages(entity.Page{Index: 0, Equal: value("c"), Descending: true, Limit: limit})
		if slices.Reverse(got); !slices.Equal(got, want) {
			t.Errorf("descending, %d at once: %s", limit, got)
		}
		if got := pages(entity.Page{Index: -1, Limit: limit}); len(got) != len(ids)+2 {
			t.Errorf("all, %d at once: %s", limit, got)
		}
	}
	// A table has returned the last and the third one of the first sort key.
	after := entity.Cursor{Sort: value(int64(0)), Same: []bson.RawValue{value(ids[3]), value(ids[2])}, Key: raw(t, bson.D{})}
	rest := append(slices.Clone(want[:2]), want[4:]...)
	if got := pages(entity.Page{Index: 0, Equal: value("c"), Limit: 1, After: after}); !slices.Equal(got, rest) {
		t.Errorf("behind a table's cursor: %s", got)
	}
	nothing := entity.Cursor{Key: after.Key} // a table had returned none yet
	if got := pages(entity.Page{Index: 0, Equal: value("c"), Limit: 2, After: nothing}); !slices.Equal(got, want) {
		t.Errorf("behind a table's cursor before the first document: %s", got)
	}
	if _, err := w.Page(t.Context(), grant, entity.Page{Index: -1, Limit: 1, After: after}); !errors.Is(err, entity.ErrCursor) {
		t.Errorf("all, behind a table's cursor: %v", err)
	}
}

// place is where the events of a document wait.
func (w *world) place(id any) direct.Place {
	left, _ := w.Waiting(raw(w.t, bson.D{{Key: "_id", Value: id}}).Lookup("_id"))
	return left.Place
}

// published removes events of a document, as whoever has published them.
func (w *world) published(id any, events ...string) {
	w.t.Helper()
	var entries []direct.Entry
	for _, event := range events {
		entries = append(entries, direct.Entry{Place: w.place(id), ID: event})
	}
	if err := w.Box().Remove(w.t.Context(), entries); err != nil {
		w.t.Fatal(err)
	}
}

// find is what reads find of the document "a", whose number is 1, and whose shop is s.
func (w *world) find() (found string) {
	w.t.Helper()
	doc := raw(w.t, bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "shop", Value: "s"}})
	byID, err := w.Get(w.t.Context(), grant, doc.Lookup("_id"))
	byUnique, uniqueErr := w.ByUnique(w.t.Context(), grant, 0, doc)
	page, pageErr := w.Page(w.t.Context(), grant, entity.Page{Index: 1, Equal: doc.Lookup("shop"), Limit: 9})
	all, allErr := w.Page(w.t.Context(), grant, entity.Page{Index: -1, Limit: 9})
	if err := errors.Join(err, uniqueErr, pageErr, allErr); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(len(byID), byUnique != nil, len(page.Docs), len(all.Docs))
}

// TestDeletesAreTold: where events wait, what is deleted is absent for everyone, and goes with the last of them.
func TestDeletesAreTold(t *testing.T) {
	w := newWorld(t)
	content := bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "shop", Value: "s"}}
	before := w.insert(content, "e1")
	if _, err := w.Delete(t.Context(), grant, w.write(before, nil, "gone")); err != nil || w.waiting("a") != "e1 gone" {
		t.Fatalf("%v; %s wait", err, w.waiting("a"))
	}
	if got := w.find(); got != "0 false 0 0" {
		t.Errorf("behind its delete: %s", got)
	}
	marked := w.get("a")
	for _, of := range []bson.Raw{before, marked} {
		if _, err := w.Delete(t.Context(), grant, w.write(of, nil, "twice")); !errors.Is(err, entity.ErrChanged) {
			t.Errorf("a second delete = %v", err)
		}
		if _, err := w.Delete(t.Context(), grant, w.write(of, nil)); !errors.Is(err, entity.ErrChanged) {
			t.Errorf("a second delete, without events = %v", err)
		}
	}
	after := raw(t, append(content, bson.E{Key: "version", Value: int64(2)}))
	if _, err := w.Replace(t.Context(), grant, w.write(before, after, "late")); !errors.Is(err, entity.ErrChanged) {
		t.Errorf("a change of what is deleted = %v", err)
	}
	first := direct.Entry{Place: w.place("a"), ID: "e1"}
	for _, try := range []struct {
		by   string
		want bool
	}{{"one", true}, {"two", false}} {
		if claimed, err := w.Box().Claim(t.Context(), first, try.by, time.Now().Add(time.Hour)); err != nil || claimed != try.want {
			t.Errorf("claim by %s: %v %v", try.by, claimed, err)
		}
	}
	w.published("a", "e1")
	if got := w.waiting("a"); got != "gone" {
		t.Errorf("behind the first: %s", got)
	}
	w.published("a", "e1", "gone") // as one that has published both
	if doc := w.get("a"); doc != nil {
		t.Errorf("behind the last: %s", doc)
	}

	quiet := w.insert(content, "e2")
	if _, err := w.Delete(t.Context(), grant, w.write(quiet, nil)); err != nil || w.waiting("a") != "e2" || w.find() != "0 false 0 0" {
		t.Errorf("a delete without events: %v; %s wait, %s", err, w.waiting("a"), w.find())
	}
	w.published("a", "e2")
	if doc := w.get("a"); doc != nil {
		t.Errorf("behind what waited before a delete without events: %s", doc)
	}
	stale := w.insert(content, "e3")
	w.published("a", "e3")
	if _, err := w.Delete(t.Context(), grant, w.write(stale, nil)); !errors.Is(err, entity.ErrChanged) || w.find() != "1 true 1 1" {
		t.Errorf("a mark that nothing would find = %v, %s", err, w.find())
	}
	if _, err := w.Delete(t.Context(), grant, w.write(w.get("a"), nil)); err != nil || w.get("a") != nil {
		t.Errorf("a delete where nothing waits = %v", err)
	}
}

// TestMadeAnew: behind a delete whose events wait, with the next version and its own events behind
// those. What publishes them meanwhile leaves it alone.
func TestMadeAnew(t *testing.T) {
	w := newWorld(t)
	before := w.insert(bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "old", Value: true}}, "e1")
	if _, err := w.Delete(t.Context(), grant, w.write(before, nil, "gone")); err != nil {
		t.Fatal(err)
	}
	anew := func(version int64) bson.Raw {
		return raw(t, bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "version", Value: version}})
	}
	var deleted *entity.DeletedError
	if _, err := w.Insert(t.Context(), grant, w.write(nil, anew(1), "made")); !errors.As(err, &deleted) || deleted.Version != 2 {
		t.Errorf("with an old version = %v", err)
	}
	left, err := w.Insert(t.Context(), grant, w.write(nil, anew(3), "made"))
	if err != nil || idsOf(left.Before) != "e1 gone" || idsOf(left.Own) != "made" || w.waiting("a") != "e1 gone made" {
		t.Fatalf("%+v %v; %s wait", left, err, w.waiting("a"))
	}
	if doc := w.get("a"); !doc.Lookup("old").IsZero() || doc.Lookup("version").AsInt64() != 3 {
		t.Errorf("made anew is %s", doc)
	}
	if _, err := w.Insert(t.Context(), grant, w.write(nil, anew(4))); !errors.Is(err, entity.ErrExists) {
		t.Errorf("made twice = %v", err)
	}
	w.published("a", "e1", "gone")
	if got := w.waiting("a"); got != "made" {
		t.Errorf("behind the delete's event: %s", got)
	}
	if _, err := w.Delete(t.Context(), grant, w.write(w.get("a"), nil, "again")); err != nil {
		t.Fatal(err)
	}
	w.published("a", "e1", "gone") // late, as by one that was stopped
	if got := w.waiting("a"); got != "made again" {
		t.Errorf("deleted again: %s wait", got)
	}
	if _, err := w.Insert(t.Context(), grant, w.write(nil, anew(5))); err != nil {
		t.Fatal(err)
	}
	w.published("a", "made", "again")
	want := raw(t, bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "version", Value: int64(5)}})
	if doc := w.get("a"); string(doc) != string(want) {
		t.Errorf("left is %s", doc)
	}
}

// TestValuesOfWhatIsDeleted are free when its events are published: a process has died behind its
// delete, and another one publishes.
func TestValuesOfWhatIsDeleted(t *testing.T) {
	w := newWorld(t)
	first := w.insert(bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: 1}, {Key: "shop", Value: "s"}, {Key: "receipt", Value: 1},
		{Key: "open", Value: true}})
	other := w.insert(bson.D{{Key: "_id", Value: "b"}})
	if _, err := w.Delete(t.Context(), grant, w.write(first, nil, "gone")); err != nil {
		t.Fatal(err)
	}
	for _, fields := range []bson.D{{{Key: "number", Value: 1}}, {{Key: "shop", Value: "s"}, {Key: "receipt", Value: 1}, {Key: "open", Value: true}}} {
		taking := func(id string) bson.Raw {
			return raw(t, append(bson.D{{Key: "_id", Value: id}, {Key: "version", Value: int64(2)}}, fields...))
		}
		_, insertErr := w.Insert(t.Context(), grant, w.write(nil, taking("c")))
		_, replaceErr := w.Replace(t.Context(), grant, w.write(other, taking("b")))
		for _, err := range []error{insertErr, replaceErr} {
			if !errors.Is(err, entity.ErrChanged) || errors.Is(err, entity.ErrTaken) {
				t.Errorf("%v of what is deleted = %v", fields, err)
			}
		}
	}
	publishes := w.outbox(w.stream())
	s, err := entity.New(entity.Config{Plan: w.plan, Member: member{}, MongoDB: w.Backend, DynamoDB: w.Backend, Outbox: publishes})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), raw(t, bson.D{{Key: "_id", Value: "c"}, {Key: "number", Value: 1}}), entity.Options{}); err != nil {
		t.Errorf("while another process publishes: %v", err)
	}
	if doc := w.get("a"); doc != nil {
		t.Errorf("what was deleted is %s", doc)
	}
}

// TestPrepare names what is missing, and what is in the way of making it.
func TestPrepare(t *testing.T) {
	w := newWorld(t)
	if err := w.Prepare(t.Context(), grant, false); err != nil {
		t.Errorf("behind making all: %v", err)
	}
	orders := w.db.Collection("orders")
	for _, name := range []string{"number_1", "customer_1_placed_1__id_1", "_outbox_waiting"} {
		if err := orders.Indexes().DropOne(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := w.Prepare(t.Context(), grant, false); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	w.insert(bson.D{{Key: "_id", Value: 1}, {Key: "number", Value: 627788}})
	w.insert(bson.D{{Key: "_id", Value: 2}, {Key: "number", Value: 627788}})
	if err := w.Prepare(t.Context(), grant, true); err == nil || !strings.Contains(err.Error(), "627788") {
		t.Errorf("with a number that is there twice: %v", err)
	}
	if err := w.Prepare(t.Context(), grant, false); err == nil || strings.Contains(err.Error(), "customer") {
		t.Errorf("what could be made: %v", err)
	}
	if _, err := orders.DeleteMany(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	w.insert(bson.D{{Key: "_id", Value: 1}, {Key: "number", Value: nil}})
	w.insert(bson.D{{Key: "_id", Value: 2}, {Key: "number", Value: nil}})
	if err := w.Prepare(t.Context(), grant, true); err == nil || !strings.Contains(err.Error(), "null counts") {
		t.Errorf("with null twice, which a table takes: %v", err)
	}
}

// TestLoweredTexts are looked up as the constraint compares them: by the collation of its index, or,
// where that compares bytes, as the service writes them.
func TestLoweredTexts(t *testing.T) {
	w := openWorld(t, "{field: number,", "{field: number, collation: lower,")
	stored := "Ada@x"
	if _, peer := mongodbtest.Peer(); peer == "" { // the sandbox has no collations
		stored = "ada@x"
		made := mongo.IndexModel{Keys: bson.D{{Key: "number", Value: 1}}, Options: options.Index().SetUnique(true)}
		if _, err := w.db.Collection("orders").Indexes().CreateOne(t.Context(), made); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Prepare(t.Context(), grant, true); err != nil {
		t.Fatal(err)
	}
	w.insert(bson.D{{Key: "_id", Value: "a"}, {Key: "number", Value: stored}})
	for range 2 {
		if doc, err := w.ByUnique(t.Context(), grant, 0, raw(t, bson.D{{Key: "number", Value: "ADA@x"}})); err != nil || doc == nil {
			t.Errorf("by unique: %s %v", doc, err)
		}
	}
	var taken *entity.TakenError
	doc := raw(t, bson.D{{Key: "_id", Value: "b"}, {Key: "number", Value: "ada@x"}})
	if _, err := w.Insert(t.Context(), grant, w.write(nil, doc)); !errors.As(err, &taken) {
		t.Errorf("the same text in another case = %v", err)
	}
}

// TestEveryType is stored as it is, when it is made and when it is changed.
func TestEveryType(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "makes null of undefined, a document of a DBPointer and a string of a symbol")
	w := newWorld(t)
	decimal, _ := bson.ParseDecimal128("-0E-10")
	types := []any{1.5, "text", bson.D{{Key: "$gt", Value: bson.D{}}}, bson.A{1, bson.A{}}, bson.Binary{Subtype: 0x80, Data: []byte{1}},
		bson.Undefined{}, bson.NewObjectID(), true, bson.DateTime(-1), nil, bson.Regex{Pattern: "a.*", Options: "i"},
		bson.DBPointer{DB: "d", Pointer: bson.NewObjectID()}, bson.JavaScript("f()"), bson.Symbol("s"),
		bson.CodeWithScope{Code: "f", Scope: bson.D{{Key: "x", Value: 1}}}, int32(7), bson.Timestamp{T: 1, I: 2}, int64(7), decimal, bson.MinKey{}, bson.MaxKey{}}
	for i, v := range types {
		before := w.insert(bson.D{{Key: "_id", Value: i}, {Key: "v", Value: v}})
		next := types[(i+1)%len(types)]
		after := raw(t, bson.D{{Key: "_id", Value: i}, {Key: "v", Value: next}, {Key: "version", Value: int64(2)}})
		if want := raw(t, bson.D{{Key: "v", Value: v}}).Lookup("v"); !before.Lookup("v").Equal(want) {
			t.Errorf("%T became %s", v, before)
		}
		if _, err := w.Replace(t.Context(), grant, w.write(before, after)); err != nil || !w.get(i).Lookup("v").Equal(after.Lookup("v")) {
			t.Errorf("%T to %T: %v, %s", v, next, err, w.get(i))
		}
		if _, err := w.Delete(t.Context(), grant, w.write(w.get(i), nil)); err != nil || w.get(i) != nil {
			t.Errorf("delete of a document with %T: %v", next, err)
		}
	}
}
