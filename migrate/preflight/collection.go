package preflight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/source"
)

// collection is the source under the name that it has now.
type collection struct {
	source.Entry
	options struct {
		Capped bool
		Timeseries, Validator,
		Collation bson.Raw
		EncryptedFields    bson.Raw               `bson:"encryptedFields"`
		ClusteredIndex     bson.RawValue          `bson:"clusteredIndex"`
		ExpireAfterSeconds bson.RawValue          `bson:"expireAfterSeconds"`
		ValidationLevel    string                 `bson:"validationLevel"`
		ValidationAction   string                 `bson:"validationAction"`
		Images             struct{ Enabled bool } `bson:"changeStreamPreAndPostImages"`
	}
	moved bool // an earlier step gave it a name of its own
	// generation is the highest of the names that exist, and of those that the ownership
	// record has counted.
	generation int64
}

// readable reports whether its documents can be read as those of a collection.
func (c *collection) readable() bool { return c.Type == "collection" }

func (w *world) namespace(collection string) string { return w.DB.Name() + "." + collection }

func (w *world) names() names.Names { return names.Names(w.Plan.Source.Collection) }

// askCollection finds the collection, behind the views that an earlier step of the
// migration put in the place of names that it left.
func (w *world) askCollection(ctx context.Context) ([]Finding, error) {
	l, err := source.Look(ctx, w.db, w.names())
	if err != nil {
		return nil, err
	}
	generation := w.record.Generation
	for e := range l.Entries() {
		_, g := w.names().Parse(e.Name)
		generation = max(generation, g)
	}
	name := w.Plan.Source.Collection
	for range generation + 1 {
		e, ok := l.At(name)
		if !ok || !e.View || !strings.HasPrefix(e.ViewOn, w.names().Prefix()) {
			break
		}
		name = e.ViewOn
	}
	var found []Finding
	entry, ok := l.At(name)
	for g := generation; !ok && g > 0; g-- {
		if entry, ok = l.At(w.names().Physical(g)); ok && !entry.View {
			found = append(found, stops("vacant", fmt.Sprintf("%s is vacant: the collection's name is %s", w.namespace(name), entry.Name),
				"a step of a migration was interrupted; readers of the old name find nothing, and a writer would create a collection",
				"run the command again that was interrupted, or encapsulate"))
		} else {
			ok = false
		}
	}
	if !ok {
		return nil, fmt.Errorf("%w: the collection %s does not exist; check source.collection in the plan and the database in MONGODB_URI", source.ErrNothingToMove,
			w.namespace(name))
	}
	w.source = collection{Entry: entry, moved: entry.Name != w.Plan.Source.Collection, generation: generation}
	if len(entry.Options) > 0 {
		if err := bson.Unmarshal(entry.Options, &w.source.options); err != nil {
			return nil, fmt.Errorf("read the options of %s: %w", w.namespace(name), err)
		}
	}
	return slices.Concat(found, w.kindFindings(), w.optionFindings(), w.nameFindings(l)), nil
}

// kindFindings refuses what is not a plain collection.
func (w *world) kindFindings() []Finding {
	c, o := w.namespace(w.source.Name), &w.source.options
	switch {
	case w.source.View:
		return []Finding{stops("kind", c+" is a view on "+w.source.ViewOn, "a view has no documents of its own",
			"name the collection that it reads in source.collection")}
	case w.source.Type == "timeseries" || o.Timeseries != nil:
		return []Finding{stops("kind", c+" is a time-series collection",
			"it has no _id index, cannot be renamed, and no change stream follows it",
			"copy it into a plain collection first")}
	case o.Capped:
		return []Finding{stops("kind", c+" is capped", "MongoDB removes its oldest documents without a change event",
			"make it a plain collection: copy it into one")}
	case o.EncryptedFields != nil:
		return []Finding{stops("kind", c+" has encrypted fields (queryable encryption)",
			"MongoDB refuses to rename it, and the table cannot query its values",
			"decrypt it into a plain collection first")}
	case w.source.UUID == "":
		return []Finding{stops("kind", "the server shows no UUID of "+c, "the migration could not tell it from another one of the same name",
			"use MongoDB 4.2 or later, with a user that may call listCollections")}
	}
	var found []Finding
	if !o.ClusteredIndex.IsZero() {
		found = append(found, told("clustered", c+" is clustered by _id", "nothing is lost: the table is ordered by its key's hash", ""))
	}
	if w.source.moved {
		found = append(found, told("encapsulated", fmt.Sprintf("the collection's name is %s now, and %s is a view on it",
			w.source.Name, w.Plan.Source.Collection), "", ""))
	}
	return found
}

// optionFindings says which options do not carry over.
func (w *world) optionFindings() []Finding {
	o := &w.source.options
	var found []Finding
	if o.Collation != nil {
		locale, _ := o.Collation.Lookup("locale").StringValueOK()
		found = append(found, acknowledge("collation", fmt.Sprintf("the collection compares texts by the collation %q", locale),
			"DynamoDB compares bytes, and so do readers of the view in the collection's place", "check every query that compares or sorts texts"))
	}
	switch empty, _ := o.Validator.Elements(); {
	case len(empty) == 0:
	case o.ValidationLevel == "off" || o.ValidationAction == "warn":
		found = append(found, told("validator", "the collection has a validator that refuses nothing", "DynamoDB has none", ""))
	default:
		found = append(found, acknowledge("validator", fmt.Sprintf("the collection has a validator (level %q, action %q)",
			cmp.Or(o.ValidationLevel, "strict"), cmp.Or(o.ValidationAction, "error")),
			"it is lost: DynamoDB has none", "check in the owning service what it checks"))
	}
	if !o.ExpireAfterSeconds.IsZero() {
		found = append(found, stops("ttl", "the clustered collection deletes documents by their age",
			"nobody would apply that behind the fence of a cut-over, and the migration cannot suspend it, as it does an index",
			`switch it off (collMod with expireAfterSeconds: "off"), and delete by a TTL index, or in the owning service`))
	}
	if o.Images.Enabled {
		found = append(found, told("pre-images", "the collection keeps pre- and post-images for change streams",
			"a change stream of the view cannot be opened; the table's stream has both images", ""))
	}
	return found
}

// The longest namespaces by the manual's limits: from 4.4 on, and before.
const (
	maxNamespace    = 255
	maxNamespaceOld = 120
	maxGenerations  = 1_000_000 // far more than a migration uses
)

// nameFindings checks the names that the migration will need.
func (w *world) nameFindings(l source.Layout) []Finding {
	var found []Finding
	limit := maxNamespace
	if w.version.before(4, 4) {
		limit = maxNamespaceOld
	}
	if longest := w.namespace(w.names().Stray(maxGenerations)); len(longest) > limit {
		found = append(found, stops("name-length", fmt.Sprintf("names such as %s have %d bytes, and MongoDB allows %d", longest,
			len(longest), limit),
			"the collection cannot be given a name of its own", fmt.Sprintf("rename it to a name that is %d bytes shorter", len(longest)-limit)))
	}
	for e := range l.Entries() {
		kind, g := w.names().Parse(e.Name)
		switch {
		case kind == names.Public || e.Name == w.source.Name:
		case g > w.record.Generation && w.record.Phase != "": // no command of a migration had it yet
			found = append(found, stops("name:"+e.Name, w.namespace(e.Name)+" has a name that the migration would give",
				"it is not the migration's, and would be taken for a part of it", "rename or drop it"))
		case kind == names.Stray:
			found = append(found, told("stray:"+e.Name, w.namespace(e.Name)+" holds what somebody wrote to a name that the collection had left",
				"it blocks a cut-over", "compare it with the collection, then discard it by name"))
		case !e.View:
			found = append(found, stops("name:"+e.Name, w.namespace(e.Name)+" stands where the migration would move the collection to",
				"it is not the migration's, or it was left by one",
				"look at it, then rename or drop it"))
		}
	}
	slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// askViews lists other views that read the collection.
func (w *world) askViews(ctx context.Context) ([]Finding, error) {
	names, err := w.db.ListCollectionNames(ctx, bson.D{{Key: "type", Value: "view"}, {Key: "options.viewOn", Value: w.Plan.Source.Collection}})
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, name := range names {
		found = append(found, told("view:"+name, "the view "+w.namespace(name)+" reads the collection",
			"it will read through the view in the collection's place, and what is in MongoDB after the switch", "move its readers to the owning service"))
	}
	return found, nil
}

// viewLimits is what a view in the collection's place cannot do for others.
var viewLimits = told("view-limits", "once the collection has a name of its own, a read-only view has its old one",
	"writes, change streams, createIndexes at start (Mongoose's autoIndex), $text, $natural, collStats, dumps by name and client-side field "+
		"encryption by namespace fail or miss there", `see "What the view cannot do" in migrate/RUNBOOK.md`)
