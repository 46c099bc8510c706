package entity

import (
	"encoding/base64"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Cursor is a position in a query's answer, for either database: everything before the sort
// key Sort was returned, and of the documents that have it those whose id does not come behind
// ID, and those of Same. A listing of all documents goes on in MongoDB only behind a cursor
// that was made there: the order of a table is no order of ids.
type Cursor struct {
	// Query is a digest of the query that the cursor belongs to.
	Query string `bson:"q,omitempty"`
	// Sort is the second field of the index in the last document; zero where it has none.
	Sort bson.RawValue `bson:"s,omitempty"`
	// ID is that of the last document which came in the order of ids; zero where none did. For
	// a table that lists all documents, it is the last one that MongoDB listed.
	ID bson.RawValue `bson:"i,omitempty"`
	// Same are the ids of documents with that sort key which came in another order, the last 100
	// or as many as there is room for.
	Same []bson.RawValue `bson:"e,omitempty"`
	// Key is the table's own position, which MongoDB passes over; nil in a cursor of MongoDB's.
	Key bson.Raw `bson:"k,omitempty"`
}

// maxCursor bounds a cursor as clients see it, in bytes. All but Same fits by far.
const maxCursor = 16 << 10

// IsZero reports whether c is no position.
func (c Cursor) IsZero() bool { return c.ID.IsZero() && c.Key == nil }

// String returns the cursor as clients see it: "" for the zero Cursor.
func (c Cursor) String() string {
	if c.IsZero() {
		return ""
	}
	b, err := bson.Marshal(c)
	if err != nil { // values that were read always marshal
		return ""
	}
	if n := len(c.Same); n > 0 && base64.RawURLEncoding.EncodedLen(len(b)) > maxCursor {
		c.Same = c.Same[(n+1)/2:]
		return c.String()
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote. ErrCursor.
func ParseCursor(text string) (Cursor, error) {
	var c Cursor
	if text == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text[:min(len(text), maxCursor)])
	if err == nil {
		err = bson.Raw(b).Validate()
	}
	if err == nil {
		err = bson.Unmarshal(b, &bson.D{}) // reads each value, as the databases do: Validate passes over how texts end
	}
	if err == nil {
		err = bson.Unmarshal(b, &c)
	}
	if err != nil || c.IsZero() {
		return Cursor{}, fmt.Errorf("cursor %.40q: %w", text, ErrCursor)
	}
	return c, nil
}
