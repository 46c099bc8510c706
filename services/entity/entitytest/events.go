package entitytest

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/entity"
)

// events of each write are published once, in the order of the writes, at the position that
// the write returns.
func (k *kit) events() stages {
	if k.w.cfg.Plan.Outbox.Field == "" || k.w.cfg.Plan.Outbox.Table == "" {
		return nil
	}
	var doc bson.Raw
	var want []told
	wrote := func(t *testing.T, before bson.Raw, w entity.Written, err error) {
		t.Helper()
		must(t, err)
		one := told{note: note{Before: k.a.Version(before), After: w.Version}, at: w.Position}
		if one.Value, _ = w.Doc.Lookup(valueField).StringValueOK(); k.deletes(t, w, before) {
			one.After, one.Value = 0, ""
		} else if before == nil && k.w.cfg.Through != nil {
			one.After = 1
		}
		want = append(want, one)
	}
	write := func(t *testing.T) {
		for n, value := range []string{"a", "b", "c"} {
			i := []*instance{k.a, k.b}[n%2]
			w, err := i.Update(t.Context(), id(doc), setting(t, valueField, value), entity.Options{Tell: i.tell})
			wrote(t, doc, w, err)
			doc = w.Doc
		}
		k.mustTell(t, doc, want)
		w, err := k.a.Delete(t.Context(), id(doc), entity.Options{Tell: k.a.tell})
		wrote(t, doc, w, err)
		w, err = k.b.Create(t.Context(), k.fresh(t, doc), entity.Options{Tell: k.b.tell})
		wrote(t, nil, w, err)
		doc = w.Doc
		k.mustTell(t, doc, want)
	}
	return stages{
		func(t *testing.T) {
			w, err := k.a.Create(t.Context(), k.document(t), entity.Options{Tell: k.a.tell})
			wrote(t, nil, w, err)
			doc = w.Doc
			write(t)
		}, write, write,
	}
}

// deletes reports whether what a write returns is what was there before.
func (k *kit) deletes(t testing.TB, w entity.Written, before bson.Raw) bool {
	t.Helper()
	return before != nil && w.Version == k.a.Version(before)
}

// fresh is a document of the same _id with all else new.
func (k *kit) fresh(t testing.TB, doc bson.Raw) bson.Raw {
	t.Helper()
	k.last++
	return with(t, marshal(t, k.w.cfg.Document(k.last)), "_id", id(doc))
}

// mustTell compares the events of a document on the stream with its writes.
func (k *kit) mustTell(t *testing.T, doc bson.Raw, want []told) {
	t.Helper()
	got := k.w.told(t, id(doc))
	if len(got) != len(want) {
		t.Fatalf("%d events of %d writes:\n%+v\nwant\n%+v", len(got), len(want), got, want)
	}
	for i := range got {
		if got[i].note != want[i].note || got[i].at != want[i].at || got[i].again != nil {
			t.Errorf("event %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}
