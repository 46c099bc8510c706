package entitytest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
)

// only are some fields of a document.
func only(t testing.TB, doc bson.Raw, names []string) (values bson.D) {
	t.Helper()
	for _, name := range names {
		v, err := doc.LookupErr(name)
		must(t, err)
		values = append(values, bson.E{Key: name, Value: v})
	}
	return values
}

// taking is a document with the fields of a constraint as another has them.
func taking(t testing.TB, doc, from bson.Raw, u *plan.Unique) bson.Raw {
	t.Helper()
	for _, name := range u.Reads() {
		doc = with(t, doc, name, from.Lookup(name))
	}
	return doc
}

// constraints are those of fields that a service can change without the document moving.
func (k *kit) constraints() (all []*plan.Unique) {
	var ofKey []string
	for _, paths := range k.w.cfg.Plan.Codec().KeyFields() {
		ofKey = append(ofKey, paths...)
	}
	for i := range k.w.cfg.Plan.Unique {
		u := &k.w.cfg.Plan.Unique[i]
		if !slices.ContainsFunc(u.Names(), func(name string) bool { return slices.Contains(ofKey, name) || name == "_id" }) {
			all = append(all, u)
		}
	}
	return all
}

// unique values belong to one document, in whichever database it was made, and are free once it
// has others, or is gone.
func (k *kit) unique() stages {
	var all []*claims
	for _, u := range k.constraints() {
		all = append(all, &claims{kit: k, u: u})
	}
	if len(all) == 0 {
		return nil
	}
	run := func(t *testing.T) {
		for _, c := range all {
			t.Run(c.u.Name(), c.stage)
		}
	}
	return stages{run, run, run}
}

// claims are documents that want one value.
type claims struct {
	*kit
	u      *plan.Unique
	holder bson.Raw // since the last stage
	other  bson.Raw
}

func (c *claims) stage(t *testing.T) {
	if c.holder == nil {
		c.holder, c.other = c.create(t, c.document(t)), c.create(t, c.document(t))
	}
	c.mustBeTaken(t, c.holder)
	c.partly(t)
	c.lower(t)
	before := c.holder
	fresh := c.document(t)
	got, err := c.b.Update(t.Context(), id(c.holder), func(doc bson.Raw) (bson.Raw, error) { return taking(t, doc, fresh, c.u), nil }, entity.Options{})
	must(t, err)
	c.holder = got.Doc
	c.mustBeFree(t, before)
	c.mustBeTaken(t, c.holder)
	heir := c.create(t, taking(t, c.document(t), before, c.u)) // what is free can be had
	c.mustBeTaken(t, heir)
	_, err = c.a.Delete(t.Context(), id(heir), entity.Options{})
	must(t, err)
	c.mustBeFree(t, heir)
	got, err = c.a.Update(t.Context(), id(c.other), func(doc bson.Raw) (bson.Raw, error) { return taking(t, doc, heir, c.u), nil }, entity.Options{})
	must(t, err)
	c.other = got.Doc
	c.mustBeTaken(t, c.other)
	for _, name := range c.u.Names() {
		_, err = c.a.Update(t.Context(), id(c.other), setting(t, name, nil), entity.Options{})
		is(t, "Update to null", err, entity.ErrInvalid)
	}
}

// mustBeTaken: the document is found by its value, which no other can have.
func (c *claims) mustBeTaken(t *testing.T, doc bson.Raw) {
	t.Helper()
	got, err := c.b.ByUnique(t.Context(), only(t, doc, c.u.Names()))
	must(t, err)
	c.mustBe(t, "ByUnique", got, doc)
	newcomer := taking(t, c.document(t), doc, c.u)
	_, err = c.a.Create(t.Context(), newcomer, entity.Options{})
	c.mustSayTaken(t, "Create", err)
	c.mustMiss(t, id(newcomer))
	bystander := c.create(t, c.document(t))
	_, err = c.a.Update(t.Context(), id(bystander), func(d bson.Raw) (bson.Raw, error) { return taking(t, d, doc, c.u), nil }, entity.Options{})
	c.mustSayTaken(t, "Update", err)
	c.mustHave(t, bystander)
}

func (c *claims) mustSayTaken(t *testing.T, what string, err error) {
	t.Helper()
	taken, ok := errors.AsType[*entity.TakenError](err)
	if !ok || !errors.Is(err, entity.ErrTaken) || !slices.Equal(taken.Fields, c.u.Names()) {
		t.Errorf("%s with a value of another document: %v, want a TakenError of %v", what, err, c.u.Names())
	}
}

func (c *claims) mustBeFree(t *testing.T, doc bson.Raw) {
	t.Helper()
	got, err := c.b.ByUnique(t.Context(), only(t, doc, c.u.Names()))
	if !errors.Is(err, entity.ErrNotFound) {
		t.Errorf("ByUnique of a value that nobody has: %v, %v", got, err)
	}
}

// partly: of several fields one may be another document's, and what the constraint is not about
// may have any value.
func (c *claims) partly(t *testing.T) {
	t.Helper()
	if names := c.u.Names(); len(names) > 1 {
		for _, name := range names {
			k := c.create(t, with(t, c.document(t), name, c.holder.Lookup(name)))
			c.mustHave(t, k)
		}
	}
	for _, w := range c.u.Where {
		if w.Equals == nil || slices.Contains(c.u.Names(), w.Field) {
			continue
		}
		outside := with(t, taking(t, c.document(t), c.holder, c.u), w.Field, "another state")
		if _, _, err := c.w.cfg.Plan.Fit(outside); err != nil {
			continue // the field has another type, or an index of it
		}
		outside = c.create(t, outside)
		got, err := c.b.ByUnique(t.Context(), only(t, c.holder, c.u.Names()))
		must(t, err)
		c.mustBe(t, "ByUnique beside a document that is not constrained", got, c.holder)
		_, err = c.a.Update(t.Context(), id(outside), func(d bson.Raw) (bson.Raw, error) { return taking(t, d, c.holder, c.u), nil }, entity.Options{})
		c.mustSayTaken(t, "Update into the constraint", err)
		c.mustHave(t, outside)
	}
}

// lower: where texts are lowered, so are those that are asked for.
func (c *claims) lower(t *testing.T) {
	t.Helper()
	if c.u.Collation != plan.CollationLower {
		return
	}
	shouted := only(t, c.holder, c.u.Names())
	for i, e := range shouted {
		if text, ok := e.Value.(bson.RawValue).StringValueOK(); ok {
			shouted[i].Value = strings.ToUpper(text)
		}
	}
	got, err := c.b.ByUnique(t.Context(), shouted)
	must(t, err)
	c.mustBe(t, "ByUnique in other letters", got, c.holder)
	if c.w.bytes && c.owner != ownership.DynamoDB {
		return
	}
	newcomer := taking(t, c.document(t), c.holder, c.u)
	for _, e := range shouted {
		newcomer = with(t, newcomer, e.Key, e.Value)
	}
	_, err = c.a.Create(t.Context(), newcomer, entity.Options{})
	c.mustSayTaken(t, "Create in other letters", err)
}

// uniqueRace: of several who want one value at once, one gets it.
func (k *kit) uniqueRace() stages {
	constraints := k.constraints()
	if len(constraints) == 0 {
		return nil
	}
	race := func(t *testing.T) {
		for _, u := range constraints {
			wanted := k.document(t)
			var all sync.WaitGroup
			var won atomic.Int32
			for n := range 6 {
				doc := taking(t, k.document(t), wanted, u)
				all.Go(func() {
					_, err := []*instance{k.a, k.b}[n%2].Create(t.Context(), doc, entity.Options{})
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, entity.ErrTaken) {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := won.Load(); n != 1 {
				t.Errorf("%d documents have one %s", n, u.Name())
			}
		}
	}
	return stages{race, race, race}
}
