package outbox

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events/social"
)

// Parse reads an entry that was found in a document.
func Parse(raw bson.RawValue, document bson.Raw, at bson.Timestamp) (id, key string, data []byte, err error) {
	e, err := parseEntry(raw, &origin{collection: "c", document: document, at: at, wall: time.Unix(int64(at.T), 0),
		source: "/legacy", check: social.Registry().Check})
	return e.known, e.key, e.data, err
}

// Leftovers tells in which order entries, each a document, a key and an id, are taken
// out: one element for each request, the document and the ids.
func Leftovers(swept bool, entries ...[3]string) (all [][]string) {
	var group []*batch
	for _, e := range entries {
		b := &batch{origin: &origin{document: bson.Raw(e[0])}, entries: []*flight{{entry: entry{
			known: e[2], key: e[1], id: bson.RawValue{Type: bson.TypeString, Value: []byte(e[2])},
		}}}}
		if swept {
			b.sweep = &sweepRun{}
		}
		group = append(group, b)
	}
	for _, l := range groupByDocument(group) {
		request := []string{string(l.document)}
		for _, id := range l.ids {
			request = append(request, string(id.(bson.RawValue).Value))
		}
		all = append(all, request)
	}
	return all
}
