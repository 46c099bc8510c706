package mongostream

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Change is one event of a change stream. Its fields share memory that nothing else
// uses and that must not be changed.
type Change struct {
	// Operation is insert, update, replace or delete, or one of DDL: drop, rename,
	// dropDatabase, invalidate and others.
	Operation string
	// Database and Collection of the change; both are empty for an invalidation.
	Database, Collection string
	// RenamedToDatabase and RenamedTo are the collection's new name, for a rename.
	RenamedToDatabase, RenamedTo string
	// CollectionUUID is the collection's, in 32 hex digits. It is empty without
	// Source.ShowExpandedEvents and before MongoDB 6.0.
	CollectionUUID string
	// DropTarget is the UUID of the collection that a rename dropped, as
	// CollectionUUID. MongoDB sends no drop for it.
	DropTarget string
	// Key is the documentKey: _id, and before it the shard key where there is one.
	Key bson.Raw
	// Full is the document after the change, nil where the server sends none: for
	// deletes, for updates without FullDocument, and for documents deleted meanwhile.
	Full bson.Raw
	// Before is the document before the change, nil where there is no image.
	Before bson.Raw
	// Updated has the new values of an update by dotted path, nil for others.
	Updated bson.Raw
	// Removed are the dotted paths that an update removed.
	Removed []string
	// Truncated are the arrays that an update cut off at their end.
	Truncated []Truncation
	// ClusterTime is the time of the change on the clock that orders all of the cluster's changes.
	// Changes of one transaction have the same.
	ClusterTime bson.Timestamp
	// Index counts the changes of one cluster time, from 0. It is the same when
	// the change is handled again, as long as the stream is about the same
	// collections.
	Index int
	// Wall is the time of the change by the server's clock, from MongoDB 6.0 on; before, it is the
	// cluster time, in whole seconds.
	Wall time.Time
	// Token is the resume token.
	Token bson.Raw
	// Stripped says that the event was too large for the server to send, so that it was
	// read without Full, Before, Updated, Removed and Truncated: read the document.
	Stripped bool
}

// Truncation says that an array was cut to a new length.
type Truncation struct {
	Field   string `bson:"field"`
	NewSize int    `bson:"newSize"`
}

// ID returns the _id of the changed document.
func (c *Change) ID() bson.RawValue { return c.Key.Lookup("_id") }

// String names the change in messages: operation, what it is about, and time.
func (c *Change) String() string {
	what := ""
	switch {
	case c.IsOfDocument():
		what = fmt.Sprintf(" of %s in %s.%s", shorten(c.ID().String()), c.Database, c.Collection)
	case c.RenamedTo != "":
		what = fmt.Sprintf(" of %s.%s to %s.%s", c.Database, c.Collection, c.RenamedToDatabase, c.RenamedTo)
	case c.Collection != "":
		what = fmt.Sprintf(" of %s.%s", c.Database, c.Collection)
	case c.Database != "":
		what = " of " + c.Database
	}
	return fmt.Sprintf("%s%s at %d.%d", c.Operation, what, c.ClusterTime.T, c.ClusterTime.I)
}

func shorten(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// event is an event of a change stream, in one part or in the fragments that the server
// split it into at its fields.
type event []bson.Raw

// lookup finds a value in the part that has it.
func (e event) lookup(path ...string) bson.RawValue {
	for _, part := range e {
		if v := part.Lookup(path...); !v.IsZero() {
			return v
		}
	}
	return bson.RawValue{}
}

// decode keeps the memory of e. The token is that of the last part.
func decode(e event) (*Change, error) {
	c := &Change{}
	var named, timed, tokened bool
	c.Operation, named = e.lookup("operationType").StringValueOK()
	c.ClusterTime.T, c.ClusterTime.I, timed = e.lookup("clusterTime").TimestampOK()
	c.Token, tokened = e[len(e)-1].Lookup("_id").DocumentOK()
	if !named || !timed || !tokened {
		return nil, errMalformed
	}
	c.Database, _ = e.lookup("ns", "db").StringValueOK()
	c.Collection, _ = e.lookup("ns", "coll").StringValueOK()
	c.RenamedToDatabase, _ = e.lookup("to", "db").StringValueOK()
	c.RenamedTo, _ = e.lookup("to", "coll").StringValueOK()
	c.CollectionUUID = uuidOf(e.lookup("collectionUUID"))
	c.DropTarget = uuidOf(e.lookup("operationDescription", "dropTarget"))
	c.Key, _ = e.lookup("documentKey").DocumentOK()
	c.Full, _ = e.lookup("fullDocument").DocumentOK()
	c.Before, _ = e.lookup("fullDocumentBeforeChange").DocumentOK()
	c.Wall = time.Unix(int64(c.ClusterTime.T), 0).UTC()
	if ms, ok := e.lookup("wallTime").DateTimeOK(); ok {
		c.Wall = time.UnixMilli(ms).UTC()
	}
	return c, c.describe(e)
}

func uuidOf(v bson.RawValue) string {
	_, data, _ := v.BinaryOK()
	return hex.EncodeToString(data)
}

func (c *Change) describe(e event) error {
	d, ok := e.lookup("updateDescription").DocumentOK()
	if !ok {
		return nil
	}
	c.Updated, _ = d.Lookup("updatedFields").DocumentOK()
	for field, into := range map[string]any{"removedFields": &c.Removed, "truncatedArrays": &c.Truncated} {
		v := d.Lookup(field)
		if v.IsZero() || v.Type == bson.TypeNull {
			continue
		}
		if err := v.Unmarshal(into); err != nil {
			return fmt.Errorf("%w: %s: %w", errMalformed, field, err)
		}
	}
	return nil
}

// IsOfDocument reports whether c is an insert, update, replace or delete.
func (c *Change) IsOfDocument() bool {
	switch c.Operation {
	case "insert", "update", "replace", "delete":
		return true
	}
	return false
}

// isRemoval reports whether documents disappeared, or appeared, without an event for each.
func (c *Change) isRemoval() bool {
	switch c.Operation {
	case "drop", "rename", "dropDatabase", "invalidate":
		return true
	}
	return false
}

// tokenTime reads the cluster time in a resume token: a KeyString in hex whose
// first value is a timestamp (type byte 0x82). It is zero for tokens of another form.
func tokenTime(token bson.Raw) bson.Timestamp {
	data, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(data) < 18 || data[:2] != "82" {
		return bson.Timestamp{}
	}
	b, err := hex.DecodeString(data[2:18])
	if err != nil {
		return bson.Timestamp{}
	}
	return bson.Timestamp{T: binary.BigEndian.Uint32(b), I: binary.BigEndian.Uint32(b[4:])}
}
