package outbox

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Parse reads an entry that was found in a document.
func Parse(raw bson.RawValue, document bson.Raw, at bson.Timestamp) (id, key string, data []byte, err error) {
	e, err := parse(raw, &origin{collection: "c", document: document, at: at, wall: time.Unix(int64(at.T), 0), source: "/legacy"})
	return e.known, e.key, e.data, err
}
