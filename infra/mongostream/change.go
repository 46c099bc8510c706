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
	// RenamedTo is the collection's new name, for a rename.
	RenamedTo string
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
}

// Truncation says that an array was cut to a new length.
type Truncation struct {
	Field   string `bson:"field"`
	NewSize int    `bson:"newSize"`
}

// ID returns the _id of the changed document.
func (c *Change) ID() bson.RawValue { return c.Key.Lookup("_id") }

// String names the change in messages: operation, collection, document and time.
func (c *Change) String() string {
	return fmt.Sprintf("%s of %s in %s.%s at %d.%d", c.Operation, shorten(c.ID().String()), c.Database, c.Collection, c.ClusterTime.T, c.ClusterTime.I)
}

func shorten(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// decode copies raw, since the driver reuses its memory.
func decode(raw bson.Raw) (*Change, error) {
	raw = append(bson.Raw(nil), raw...)
	c := &Change{}
	var named, timed, tokened bool
	c.Operation, named = raw.Lookup("operationType").StringValueOK()
	c.ClusterTime.T, c.ClusterTime.I, timed = raw.Lookup("clusterTime").TimestampOK()
	c.Token, tokened = raw.Lookup("_id").DocumentOK()
	if !named || !timed || !tokened {
		return nil, errMalformed
	}
	c.Database, _ = raw.Lookup("ns", "db").StringValueOK()
	c.Collection, _ = raw.Lookup("ns", "coll").StringValueOK()
	c.RenamedTo, _ = raw.Lookup("to", "coll").StringValueOK()
	c.Key, _ = raw.Lookup("documentKey").DocumentOK()
	c.Full, _ = raw.Lookup("fullDocument").DocumentOK()
	c.Before, _ = raw.Lookup("fullDocumentBeforeChange").DocumentOK()
	c.Wall = time.Unix(int64(c.ClusterTime.T), 0).UTC()
	if ms, ok := raw.Lookup("wallTime").DateTimeOK(); ok {
		c.Wall = time.UnixMilli(ms).UTC()
	}
	return c, c.describe(raw)
}

func (c *Change) describe(raw bson.Raw) error {
	d, ok := raw.Lookup("updateDescription").DocumentOK()
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
