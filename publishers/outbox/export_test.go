package outbox

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Parse reads an entry that was found in a document.
func Parse(raw bson.RawValue, document bson.Raw, at bson.Timestamp) (id, key string, data []byte, err error) {
	e, err := parseEntry(raw, &origin{collection: "c", document: document, at: at, wall: time.Unix(int64(at.T), 0),
		source: "/legacy", check: social.Registry().Check})
	return e.known, e.key, e.data, err
}

// CleanUps are the requests that remove entries, each a collection, a document, a key and
// an id: for each request the collection, the document and the ids.
func CleanUps(entries ...[4]string) (all [][]string) {
	var group []*batch
	for _, e := range entries {
		group = append(group, &batch{origin: &origin{collection: e[0], document: bson.Raw(e[1])}, entries: []*flight{{entry: entry{
			known: e[3], key: e[2], id: bson.RawValue{Type: bson.TypeString, Value: []byte(e[3])},
		}}}})
	}
	for _, step := range inOrder(group) {
		for _, l := range groupByDocument(step) {
			request := []string{step[0].origin.collection, string(l.document)}
			for _, id := range l.ids {
				request = append(request, string(id.(bson.RawValue).Value))
			}
			all = append(all, request)
		}
	}
	return all
}

// EntriesIn returns the ids of the entries that a change added.
func (r *Relay) EntriesIn(ctx context.Context, c mongostream.Change) (ids []string, err error) {
	found, err := r.entriesIn(ctx, &c)
	for _, raw := range found {
		ids = append(ids, raw.Document().Lookup("id").StringValue())
	}
	return ids, err
}

// CleanUp removes the event of a document, by its id, from a collection.
func (r *Relay) CleanUp(ctx context.Context, collection string, document bson.Raw, id string) error {
	_, text, err := bson.MarshalValue(id)
	if err != nil {
		return err
	}
	return r.cleanUp(ctx, []*batch{{origin: &origin{collection: collection, document: document}, entries: []*flight{{entry: entry{
		known: id, key: "key", id: bson.RawValue{Type: bson.TypeString, Value: text},
	}}}}})
}
