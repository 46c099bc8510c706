package source

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// Event is what a migration reads of a change stream's Event.
type Event struct {
	Op            string
	Collection    string
	RenamedTo     string // of a rename
	ID            bson.RawValue
	Document      bson.Raw // nil where the Event carries none
	UpdatedFields bson.Raw // fields set by an update
	At            stamp.ClusterTime
	Entity        string // of a barrier
}

var errEvent = errors.New("the server sent a change event without cluster time or operation type")

// DecodeEvent copies what it keeps: the driver reuses raw's memory.
func DecodeEvent(raw bson.Raw) (Event, error) {
	raw = append(bson.Raw{}, raw...)
	var ev Event
	var ok bool
	if ev.Op, ok = raw.Lookup("operationType").StringValueOK(); !ok {
		return ev, errEvent
	}
	t, i, ok := raw.Lookup("clusterTime").TimestampOK()
	if !ok {
		return ev, errEvent
	}
	ev.At = stamp.ClusterTimeOf(bson.Timestamp{T: t, I: i})
	ev.Collection, _ = raw.Lookup("ns", "coll").StringValueOK()
	ev.RenamedTo, _ = raw.Lookup("to", "coll").StringValueOK()
	ev.ID = raw.Lookup("documentKey", "_id")
	ev.Document, _ = raw.Lookup("fullDocument").DocumentOK()
	ev.UpdatedFields, _ = raw.Lookup("updateDescription", "updatedFields").DocumentOK()
	if ev.Document != nil {
		ev.Entity, _ = ev.Document.Lookup("entity").StringValueOK()
	}
	return ev, nil
}

func (ev Event) ChangesDocument() bool {
	switch ev.Op {
	case "insert", "update", "replace", "delete":
		return true
	}
	return false
}

// SetsField reports whether a change shows the hand of the owning service. A
// delete shows nobody's.
func (ev Event) SetsField(field string) bool {
	switch ev.Op {
	case "insert", "replace":
		return ev.Document == nil || !ev.Document.Lookup(field).IsZero()
	case "update":
		return !ev.UpdatedFields.Lookup(field).IsZero()
	}
	return true
}

// TokenTime reads the cluster time in a resume token of MongoDB's own format: a
// KeyString whose first value is a timestamp (type byte 0x82). 0 for others.
func TokenTime(token bson.Raw) stamp.ClusterTime {
	data, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(data) < 18 || data[:2] != "82" {
		return 0
	}
	b, err := hex.DecodeString(data[2:18])
	if err != nil {
		return 0
	}
	return stamp.ClusterTime(binary.BigEndian.Uint64(b))
}
