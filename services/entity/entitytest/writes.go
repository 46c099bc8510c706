package entitytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
)

func marshal(t testing.TB, doc any) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(doc)
	must(t, err)
	return raw
}

// with is a document with another value of a field, in its place or behind all.
func with(t testing.TB, doc bson.Raw, field string, v any) bson.Raw {
	t.Helper()
	var d bson.D
	must(t, bson.Unmarshal(doc, &d))
	return marshal(t, put(d, []string{field}, v))
}

// setting is a change of one field.
func setting(t testing.TB, field string, v any) func(bson.Raw) (bson.Raw, error) {
	return func(doc bson.Raw) (bson.Raw, error) { return with(t, doc, field, v), nil }
}

func is(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func id(doc bson.Raw) bson.RawValue { return doc.Lookup("_id") }

// create makes a document, and returns it with its version.
func (k *kit) create(t testing.TB, doc bson.Raw) bson.Raw {
	t.Helper()
	w, err := k.a.Create(t.Context(), doc, entity.Options{})
	must(t, err)
	k.mustBe(t, "what Create returns", w.Doc, with(t, doc, k.w.cfg.Plan.VersionField, w.Version))
	return w.Doc
}

// mustBe compares documents to the last byte, but for what the plan drops.
func (k *kit) mustBe(t testing.TB, what string, got, want bson.Raw) {
	t.Helper()
	c := k.w.cfg.Plan.Codec()
	if got == nil || !bytes.Equal(c.Kept(got), c.Kept(want)) {
		t.Errorf("%s:\n%v\nwant\n%v", what, got, want)
	}
}

// mustHave reads a document by both processes.
func (k *kit) mustHave(t testing.TB, want bson.Raw) {
	t.Helper()
	for _, i := range []*instance{k.a, k.b} {
		got, err := i.Get(t.Context(), id(want))
		must(t, err)
		k.mustBe(t, "what Get returns", got, want)
	}
}

func (k *kit) mustMiss(t testing.TB, id any) {
	t.Helper()
	got, err := k.b.Get(t.Context(), id)
	if !errors.Is(err, entity.ErrNotFound) {
		t.Errorf("Get of what is not there: %v, %v", got, err)
	}
}

// part is what a service knows of a document.
type part struct {
	ID     bson.RawValue `bson:"_id"`
	Value  string        `bson:"entitytest"`
	Nested struct {
		Value string `bson:"value"`
	} `bson:"nested"`
	Number int64 `bson:"int32"` // which is an int32
}

// types: documents have values of all types, and a service changes what it knows.
func (k *kit) types() stages {
	var doc bson.Raw
	n := 0
	change := func(t *testing.T) {
		k.mustHave(t, doc)
		n++
		value := fmt.Sprint("changed ", n)
		got, err := entity.Of[part](k.a.store).Update(t.Context(), id(doc), func(p *part) error {
			p.Value, p.Nested.Value = value, value
			return nil
		})
		must(t, err)
		doc = with(t, with(t, doc, valueField, value), k.w.cfg.Plan.VersionField, got.Version)
		doc = with(t, doc, "nested", bson.D{{Key: "kept", Value: bson.NewDecimal128(0x3040000000000000, 7)}, {Key: "value", Value: value}})
		k.mustHave(t, doc)
		w, err := k.a.Update(t.Context(), id(doc), setting(t, valueField, value+" again"), entity.Options{})
		must(t, err)
		doc = with(t, with(t, doc, valueField, value+" again"), k.w.cfg.Plan.VersionField, got.Version+1)
		k.mustBe(t, "what Update returns", w.Doc, doc)
		k.mustHave(t, doc)
	}
	return stages{
		func(t *testing.T) {
			doc = k.create(t, k.document(t, typed(t)...))
			change(t)
		}, change, change,
	}
}

func typed(t testing.TB) bson.D {
	t.Helper()
	decimal, err := bson.ParseDecimal128("1.50")
	must(t, err)
	return bson.D{
		{Key: "nested", Value: bson.D{{Key: "kept", Value: bson.NewDecimal128(0x3040000000000000, 7)}, {Key: "value", Value: "as made"}}},
		{Key: "decimal", Value: decimal}, {Key: "int32", Value: int32(7)}, {Key: "int64", Value: int64(7)}, {Key: "double", Value: 7.0},
		{Key: "date", Value: bson.DateTime(-1)}, {Key: "null", Value: nil}, {Key: "true", Value: true}, {Key: "empty", Value: ""},
		{Key: "objectId", Value: bson.ObjectID{1, 2, 3}}, {Key: "binary", Value: bson.Binary{Subtype: 128, Data: []byte{0, 255}}},
		{Key: "uuid", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: bytes.Repeat([]byte{9}, 16)}},
		{Key: "regex", Value: bson.Regex{Pattern: "^a", Options: "i"}}, {Key: "timestamp", Value: bson.Timestamp{T: 5, I: 6}},
		{Key: "code", Value: bson.JavaScript("f()")}, {Key: "min", Value: bson.MinKey{}},
		{Key: "array", Value: bson.A{int32(1), 1.0, bson.A{}, bson.D{}, bson.D{{Key: "deep", Value: int64(1)}}, nil, "x"}},
	}
}

// old: what MongoDB has from before the service has no version, and fields that nobody knows.
func (k *kit) old() stages {
	if k.owner == ownership.DynamoDB {
		return nil
	}
	var untouched, touched bson.Raw
	touch := func(t *testing.T) {
		k.mustHave(t, untouched)
		if v := k.a.Version(untouched); v != 0 {
			t.Errorf("version %d, want 0", v)
		}
		before := k.a.Version(touched)
		got, err := k.a.Update(t.Context(), id(touched), setting(t, valueField, "touched"), entity.Options{IfVersion: &before})
		must(t, err)
		touched = with(t, with(t, touched, valueField, "touched"), k.w.cfg.Plan.VersionField, before+1)
		k.mustBe(t, "what Update returns", got.Doc, touched)
		k.mustHave(t, touched)
	}
	return stages{
		func(t *testing.T) {
			untouched, touched = k.document(t, typed(t)...), k.document(t, typed(t)...)
			k.w.insert(t, untouched)
			k.w.insert(t, touched)
			touch(t)
		}, touch, touch,
	}
}

// versions grow by one, and guard writes.
func (k *kit) versions() stages {
	var doc bson.Raw
	change := func(t *testing.T) {
		is := k.a.Version(doc)
		for _, other := range []int64{is - 1, is + 1} {
			_, err := k.b.Update(t.Context(), id(doc), setting(t, valueField, "wrong"), entity.Options{IfVersion: &other})
			if v, ok := errors.AsType[*entity.VersionError](err); !ok || v.Version != is || !errors.Is(err, entity.ErrVersion) {
				t.Errorf("Update of version %d where there is %d: %v", other, is, err)
			}
			_, err = k.b.Delete(t.Context(), id(doc), entity.Options{IfVersion: &other})
			if v, ok := errors.AsType[*entity.VersionError](err); !ok || v.Version != is {
				t.Errorf("Delete of version %d where there is %d: %v", other, is, err)
			}
		}
		same, err := k.b.Update(t.Context(), id(doc), func(bson.Raw) (bson.Raw, error) { return nil, entity.ErrUnchanged }, entity.Options{})
		if err != nil || !same.Repeated || same.Version != is {
			t.Errorf("an update that changes nothing: %+v, %v", same, err)
		}
		got, err := k.b.Update(t.Context(), id(doc), setting(t, valueField, "right"), entity.Options{IfVersion: &is})
		if err != nil || got.Version != is+1 {
			t.Fatalf("Update of version %d: %d, %v", is, got.Version, err)
		}
		doc = got.Doc
		k.mustHave(t, doc)
	}
	return stages{
		func(t *testing.T) {
			doc = k.create(t, k.document(t))
			if v := k.a.Version(doc); v != 1 {
				t.Errorf("created with version %d, want 1", v)
			}
			change(t)
		}, change,
		func(t *testing.T) {
			change(t)
			version := k.a.Version(doc)
			got, err := k.b.Delete(t.Context(), id(doc), entity.Options{IfVersion: &version})
			must(t, err)
			k.mustBe(t, "what Delete returns", got.Doc, doc)
			k.mustMiss(t, id(doc))
		},
	}
}

// misfits: what an item cannot be is refused by either database, and changes nothing.
func (k *kit) misfits() stages {
	var doc bson.Raw
	large := strings.Repeat("too large for an item ", 20_000)
	refuse := func(t *testing.T) {
		_, err := k.a.Update(t.Context(), id(doc), setting(t, valueField, large), entity.Options{})
		is(t, "Update", err, entity.ErrUnfit)
		if _, ok := errors.AsType[*codec.FitError](err); !ok {
			t.Errorf("%v does not say what does not fit", err)
		}
		k.mustHave(t, doc)
		other := with(t, k.document(t), valueField, large)
		_, err = k.a.Create(t.Context(), other, entity.Options{})
		is(t, "Create", err, entity.ErrUnfit)
		k.mustMiss(t, id(other))
	}
	return stages{func(t *testing.T) { doc = k.create(t, k.document(t)); refuse(t) }, refuse, refuse}
}

// anew: a deleted document is absent, and its id is free.
func (k *kit) anew() stages {
	var doc, gone bson.Raw
	again := func(t *testing.T) {
		k.mustMiss(t, id(gone)) // since the last stage
		k.mustHave(t, doc)
		for _, d := range []*bson.Raw{&doc, &gone} {
			if d == &doc {
				_, err := k.a.Delete(t.Context(), id(doc), entity.Options{})
				must(t, err)
				k.mustMiss(t, id(doc))
			}
			_, err := k.b.Delete(t.Context(), id(*d), entity.Options{})
			is(t, "Delete of what is deleted", err, entity.ErrNotFound)
			_, err = k.b.Update(t.Context(), id(*d), setting(t, valueField, "x"), entity.Options{})
			is(t, "Update of what is deleted", err, entity.ErrNotFound)
			*d = k.create(t, with(t, *d, valueField, "made anew"))
			k.mustHave(t, *d)
		}
		_, err := k.a.Delete(t.Context(), id(gone), entity.Options{})
		must(t, err)
	}
	return stages{
		func(t *testing.T) {
			doc, gone = k.create(t, k.document(t)), k.create(t, k.document(t))
			_, err := k.a.Delete(t.Context(), id(gone), entity.Options{})
			must(t, err)
			again(t)
		}, again, again,
	}
}

// repeated: whoever did not get the answer creates again.
func (k *kit) repeated() stages {
	var made, doc bson.Raw
	repeat := func(t *testing.T) {
		w, err := k.b.Create(t.Context(), made, entity.Options{})
		if err != nil || !w.Repeated || w.Version != k.a.Version(doc) {
			t.Errorf("Create again: %+v, %v; want version %d, repeated", w, err, k.a.Version(doc))
		}
		other := with(t, made, valueField, "another")
		w, err = k.b.Create(t.Context(), other, entity.Options{})
		is(t, "Create of another document with the id", err, entity.ErrExists)
		k.mustBe(t, "the document that there is", w.Doc, doc)
		k.mustHave(t, doc)
	}
	return stages{
		func(t *testing.T) {
			made = k.document(t)
			doc = k.create(t, made)
			repeat(t)
			_, err := k.a.Delete(t.Context(), id(doc), entity.Options{})
			must(t, err)
			doc = k.create(t, made)
			repeat(t)
		}, repeat,
		func(t *testing.T) {
			repeat(t)
			_, err := k.a.Delete(t.Context(), id(doc), entity.Options{})
			must(t, err)
			doc = k.create(t, made)
			repeat(t)
		},
	}
}

// updates of several processes at once are all there.
func (k *kit) updates() stages {
	var doc bson.Raw
	total := int32(0)
	count := func(t *testing.T) {
		var all sync.WaitGroup
		for n := range 6 {
			all.Go(func() {
				for range 3 {
					_, err := []*instance{k.a, k.b}[n%2].Update(t.Context(), id(doc), func(d bson.Raw) (bson.Raw, error) {
						n, _ := d.Lookup("count").Int32OK()
						return with(t, d, "count", n+1), nil
					}, entity.Options{})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		total += 18
		got, err := k.a.Get(t.Context(), id(doc))
		must(t, err)
		if n := got.Lookup("count").Int32(); n != total || k.a.Version(got) != int64(total)+1 {
			t.Errorf("behind %d updates: %d, in version %d", total, n, k.a.Version(got))
		}
	}
	return stages{func(t *testing.T) { doc = k.create(t, k.document(t)); count(t) }, count, count}
}

// unanswered: a write whose answer is lost takes effect once, and its caller is told what it did.
func (k *kit) unanswered() stages {
	write := func(t *testing.T) {
		var lose atomic.Bool
		i := k.w.newInstance(t, network{link: &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
			writes := []string{"insert", "update", "delete", "UpdateItem", "PutItem", "TransactWriteItems"}
			if slices.Contains(writes, c.Name) && !bytes.Contains(c.Body, []byte(controlTable)) && lose.CompareAndSwap(true, false) {
				return linktest.Unanswered
			}
			return linktest.Deliver
		}}})
		doc := k.document(t)
		lose.Store(true)
		_, err := i.Create(t.Context(), doc, entity.Options{})
		must(t, err)
		lose.Store(true)
		w, err := i.Update(t.Context(), id(doc), func(d bson.Raw) (bson.Raw, error) {
			value, _ := d.Lookup(valueField).StringValueOK()
			return with(t, d, valueField, value+"+"), nil
		}, entity.Options{})
		must(t, err)
		if w.Version != 2 || lose.Load() {
			t.Errorf("version %d, want 2; is the answer to come yet: %v", w.Version, lose.Load())
		}
		k.mustHave(t, with(t, with(t, doc, valueField, tokenOf(doc)+"+"), k.w.cfg.Plan.VersionField, int64(2)))
		lose.Store(true)
		_, err = i.Delete(t.Context(), id(doc), entity.Options{})
		must(t, err)
		k.mustMiss(t, id(doc))
	}
	return stages{write, write, write}
}

// held: nothing is written while the owner is about to change, and what waits is written then.
func (k *kit) held() stages {
	if k.owner == "" {
		return nil // a change of owner is under way by itself
	}
	return stages{func(t *testing.T) {
		doc := k.create(t, k.document(t))
		k.w.change(t, func(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(patience) })
		eventually(t, "writes are held", func() bool { return k.a.member.Record().Hold })
		eventually(t, "a write that cannot wait is told why", func() bool { // unless it has no lease just then
			short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := k.a.Update(short, id(doc), setting(t, valueField, "never"), entity.Options{})
			if err == nil {
				t.Fatal("written while writes are held")
			}
			return errors.Is(err, ownership.ErrHeld)
		})
		k.mustHave(t, doc)
		var released atomic.Bool
		done := make(chan error, 1)
		go func() {
			_, err := k.a.Update(t.Context(), id(doc), setting(t, valueField, "then"), entity.Options{})
			if !released.Load() {
				err = errors.Join(err, errors.New("the write did not wait"))
			}
			done <- err
		}()
		k.mustHave(t, doc)
		released.Store(true)
		k.w.change(t, func(r *ownership.Record) { r.Hold, r.HoldUntil = false, time.Time{} })
		must(t, <-done)
		got, err := k.b.Get(t.Context(), id(doc))
		must(t, err)
		k.mustBe(t, "behind the hold", got, with(t, with(t, doc, valueField, "then"), k.w.cfg.Plan.VersionField, int64(2)))
	}}
}
