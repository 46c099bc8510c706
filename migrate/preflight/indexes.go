package preflight

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/plan"
)

// index is one index of the source as listIndexes shows it.
type index struct {
	plan.SourceIndex `bson:",inline"`

	use string // how often it was used, "" where the server does not say
}

// suspended is the expireAfterSeconds of an index that the migration keeps from deleting.
const suspended = math.MaxInt32

// special are the kinds of index that a key's value names.
var special = map[string]string{"text": "text", "2d": "geo", "2dsphere": "geo", "geoHaystack": "geo", "hashed": "hashed",
	"columnstore": "column store"}

// describe says what kind of index it is, such as "unique compound index on {a, b}".
func (i *index) describe() string {
	var words, fields []string
	add := func(is bool, word string) {
		if is && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	add(!i.Expire.IsZero(), "TTL")
	add(i.Unique, "unique")
	add(i.Sparse, "sparse")
	add(i.Partial != nil, "partial")
	for _, e := range i.Key {
		kind, _ := e.Value.(string)
		add(special[kind] != "", special[kind])
		add(kind != "" && special[kind] == "", kind)
		add(strings.Contains(e.Key, "$**"), "wildcard")
		fields = append(fields, e.Key)
	}
	add(len(i.Key) > 1 && !slices.Contains(words, "text"), "compound")
	add(i.Collation != nil, "collated")
	return strings.TrimSpace(strings.Join(words, " ") + " index on {" + strings.Join(fields, ", ") + "}")
}

func (w *world) listIndexes(ctx context.Context) ([]index, error) {
	cur, err := w.db.Collection(w.source.Name).Indexes().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", w.namespace(w.source.Name), err)
	}
	var all []index
	if err := cur.All(ctx, &all); err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", w.namespace(w.source.Name), err)
	}
	return all, nil
}

// askIndexes says of each index whether it is kept or lost.
func (w *world) askIndexes(ctx context.Context) ([]Finding, error) {
	if !w.source.readable() {
		return nil, nil
	}
	all, err := w.listIndexes(ctx)
	if err != nil {
		return nil, err
	}
	var found []Finding
	uses := w.indexUses(ctx)
	for _, i := range all {
		i.use = uses[i.Name]
		found = append(found, w.indexFinding(&i))
	}
	if w.Plan.TTL != nil && len(w.Plan.Unique) > 0 {
		found = append(found, acknowledge("ttl-unique", "the plan has a ttl and unique fields",
			"what DynamoDB deletes leaves its unique entries: their values stay claimed",
			"let the owning service claim a value whose owner has no item, or has expired"))
	}
	if name := w.waitingIndex(); name != "" && !slices.ContainsFunc(all, func(i index) bool { return i.Name == name }) {
		found = append(found, told("outbox:"+w.Plan.Outbox.Field, fmt.Sprintf("the source has no index %q", name),
			"while writes are held, the whole collection is read for events that wait", "let the owning service, or the relay, create it: they do at start"))
	}
	for n := range w.Plan.Unique {
		u := &w.Plan.Unique[n]
		if !slices.ContainsFunc(all, func(i index) bool { return i.CoversAll(u) }) {
			found = append(found, told("unique:"+u.Name(), fmt.Sprintf("the source has no unique index on %q", u.Name()),
				"duplicates can arise while the migration runs", "create the index first"))
		}
	}
	return found, nil
}

func (w *world) indexFinding(i *index) Finding {
	name, what := "index:"+i.Name, fmt.Sprintf("index %s (%s) ", i.Name, i.describe())
	n := slices.IndexFunc(w.Plan.Unique, func(u plan.Unique) bool { return i.IsOn(&u) })
	switch {
	case i.Name == "_id_" && n >= 0:
		return told(name, what+"is kept by "+w.Plan.Unique[n].Table+", whose entries lead to the table's key", "", "")
	case i.Name == "_id_":
		return told(name, what+"is kept: it is the table's key", "", "")
	case i.Name == w.waitingIndex():
		return told(name, what+"finds the events that wait in documents", "they stay in MongoDB, and so does it", "")
	case !i.Expire.IsZero() && w.Plan.TTL != nil && len(i.Key) == 1 && i.Key[0].Key == w.Plan.TTL.Field:
		return w.expiryFinding(i, name, what)
	case !i.Expire.IsZero():
		return acknowledge(name, what+"is lost", "DynamoDB deletes nothing by it, and it goes on deleting in MongoDB behind a fence",
			"delete in the owning service, and switch it off (collMod) before the verification")
	case n >= 0:
		return w.uniqueFinding(i, &w.Plan.Unique[n], name, what)
	case i.Unique:
		return acknowledge(name, what+"is lost", "nothing refuses duplicates in DynamoDB",
			"if it is on top-level fields, name them under unique in the plan; else check in the owning service")
	}
	return w.accessFinding(i, name, what)
}

// waitingIndex is the name of the index of events that wait in documents, "" for none.
func (w *world) waitingIndex() string {
	if w.Plan.Outbox.Field == "" {
		return ""
	}
	return w.Plan.Outbox.Field + "_waiting"
}

// expiryFinding compares a TTL index with the plan's ttl, which is of the same field.
func (w *world) expiryFinding(i *index, name, what string) Finding {
	ttl := w.Plan.TTL
	seconds, _ := i.Expire.AsInt64OK()
	if after := time.Duration(seconds) * time.Second; after != ttl.After && i.Expire.IsNumber() && seconds < suspended {
		return acknowledge(name, fmt.Sprintf("%sexpires documents after %s, the plan's ttl after %s", what, after, ttl.After),
			"items expire at another time than documents", "set ttl.after to "+after.String())
	}
	if i.Partial != nil {
		return acknowledge(name, what+"expires only some documents", "the attribute "+ttl.Attribute+" expires all items that have the date",
			"check in the owning service")
	}
	return told(name, what+"is kept by the attribute "+ttl.Attribute, "MongoDB deletes by it until the switch, DynamoDB from complete on, up to days late; "+
		"readers filter by the attribute", "")
}

// uniqueFinding compares a unique index with the plan's constraint on its fields.
func (w *world) uniqueFinding(i *index, u *plan.Unique, name, what string) Finding {
	strength, _ := i.Collation.Lookup("strength").AsInt64OK()
	switch {
	case !i.SameTexts(u) && i.Collation == nil:
		return told(name, what+"is kept by "+u.Table, "the constraint takes texts for the same that differ in case, the index does not", "")
	case !i.SameTexts(u):
		return acknowledge(name, what+"is kept by "+u.Table+" byte for byte only",
			"the index compares texts by a collation: what it refuses as the same, such as another case, the table takes",
			"set collation: lower in the plan if case is what it disregards; else check in the owning service")
	case i.Partial != nil && len(u.Where) == 0 && !i.SameDocuments(u):
		return told(name, what+"is kept by "+u.Table, "the plan's constraint holds for all documents, not only for those of the index", "")
	case !i.SameDocuments(u):
		return acknowledge(name, what+"is about other documents than the constraint in "+u.Table,
			"documents that only one of them is about may be refused, or be there twice", "write its partialFilterExpression as where in the plan")
	case i.Collation != nil && strength < 2:
		return acknowledge(name, what+"is kept by "+u.Table+" without regard to case", "the index disregards accents, too", "check in the owning service")
	case i.Collation != nil:
		return told(name, what+"is kept by "+u.Table+" without regard to case",
			"the collation takes some more texts for the same, such as ss and \u00df; the owning service lowers what it claims", "")
	}
	wayOut := ""
	if !i.Sparse && i.Partial == nil {
		wayOut = "if more than one may be, make the index sparse: it refuses a second one, which a rollback could then not bring back"
	}
	return told(name, what+"is kept by "+u.Table, "any number of documents may be without the field there", wayOut)
}
