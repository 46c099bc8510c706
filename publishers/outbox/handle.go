package outbox

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/mongostream"
)

// handle publishes the events that a change added.
func (r *Relay) handle(ctx context.Context, c mongostream.Change) (mongostream.Ack, error) {
	if !r.belongs(&c) {
		return nil, nil
	}
	found, err := r.entriesIn(ctx, &c)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	o := r.origin(c.Collection, c.Key)
	o.at, o.wall, o.number = c.ClusterTime, c.Wall, c.Index
	o.ids = func() ids { return r.idsAt(ctx, &c) }
	b, err := r.publish(ctx, o, found, nil)
	if err != nil || b == nil {
		return nil, err
	}
	return b.wait, nil
}

func (r *Relay) origin(collection string, document bson.Raw) *origin {
	return &origin{collection: collection, document: document, outbox: r.isOutbox(collection), source: r.cfg.Source, check: r.cfg.Check}
}

// entriesIn returns the entries that a change added, and maybe others.
func (r *Relay) entriesIn(ctx context.Context, c *mongostream.Change) ([]bson.RawValue, error) {
	if c.Stripped { // its event was too large to be sent
		return r.entriesAt(ctx, c)
	}
	if r.isOutbox(c.Collection) {
		if c.Operation != "insert" || c.Full == nil {
			return nil, nil
		}
		return []bson.RawValue{{Type: bson.TypeEmbeddedDocument, Value: c.Full}}, nil
	}
	if c.Operation != "update" {
		return elements(c.Full.Lookup(string(r.cfg.Field))), nil
	}
	news := r.cfg.Field.addedIn(c.Updated)
	if news.unclear {
		return r.entriesAt(ctx, c)
	}
	return news.entries, nil
}

// elements returns the elements of an array; any other value counts as one element.
func elements(v bson.RawValue) []bson.RawValue {
	if absent(v) {
		return nil
	}
	array, ok := v.ArrayOK()
	if !ok {
		return []bson.RawValue{v}
	}
	all, _ := array.Values() // the server's documents are well-formed
	return slices.DeleteFunc(all, absent)
}

// brought is what an update did to the array.
type brought struct {
	entries []bson.RawValue
	unclear bool // something inside of entries changed: read the document
}

// addedIn reads the updated fields. What is appended comes as one field for each
// element, "_outbox.3", in their order; a first event, and whatever else is done to the array,
// comes as the whole of it. After the relay's own clean-up it is the whole of
// what is left, all of which the stream showed before: the mark says so, and
// without it those events would come a second time, behind their successors.
func (f Field) addedIn(updated bson.Raw) (b brought) {
	fields, _ := updated.Elements()
	for _, field := range fields {
		name := field.Key()
		index, isIn := strings.CutPrefix(name, string(f)+".")
		switch {
		case name == f.clearedField():
			return brought{}
		case name == string(f):
			b.entries = elements(field.Value())
		case isIn:
			_, err := strconv.Atoi(index)
			b.unclear = b.unclear || err != nil
			b.entries = append(b.entries, field.Value())
		}
	}
	b.entries = slices.DeleteFunc(b.entries, absent)
	return b
}

// entriesAt reads the entries as the change left them.
func (r *Relay) entriesAt(ctx context.Context, c *mongostream.Change) ([]bson.RawValue, error) {
	doc, err := r.documentAt(ctx, c)
	if err != nil || doc == nil {
		return nil, err // too long ago: the sweep will find it
	}
	return r.entriesOf(c.Collection, doc), nil
}

// idsAt returns the ids of the document as the change left them; none, rather than
// those of a later write, where the document of that time cannot be read any more.
func (r *Relay) idsAt(ctx context.Context, c *mongostream.Change) ids {
	for _, doc := range []bson.Raw{c.Full, c.Updated} {
		if v := doc.Lookup(r.cfg.Correlation); !absent(v) {
			return idsOf(v)
		}
	}
	if c.Operation != "update" || slices.Contains(c.Removed, r.cfg.Correlation) {
		return ids{}
	}
	doc, err := r.documentAt(ctx, c)
	if err != nil || doc == nil {
		return ids{}
	}
	return idsOf(doc.Lookup(r.cfg.Correlation))
}

// documentAt reads a document as of a change; nil if it is too long ago.
func (r *Relay) documentAt(ctx context.Context, c *mongostream.Change) (bson.Raw, error) {
	docs, err := r.readAt(ctx, c.Collection, []bson.RawValue{c.ID()}, c.ClusterTime)
	if tooLongAgo(err) || err == nil && len(docs) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, transient(err)
	}
	return docs[0], nil
}
