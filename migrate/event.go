package migrate

import (
	"encoding/binary"
	"encoding/hex"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// event is what a migration reads of a change stream's event.
type event struct {
	op         string
	collection string
	to         string // of a rename
	id         bson.RawValue
	doc        bson.Raw // nil where the event carries none
	updated    bson.Raw // fields set by an update
	at         clock
	entity     string // of a marker
}

var errEvent = errors.New("the server sent a change event without cluster time or operation type")

// decodeEvent copies what it keeps: the driver reuses raw's memory.
func decodeEvent(raw bson.Raw) (event, error) {
	raw = append(bson.Raw{}, raw...)
	var ev event
	var ok bool
	if ev.op, ok = raw.Lookup("operationType").StringValueOK(); !ok {
		return ev, errEvent
	}
	t, i, ok := raw.Lookup("clusterTime").TimestampOK()
	if !ok {
		return ev, errEvent
	}
	ev.at = clockOf(bson.Timestamp{T: t, I: i})
	ev.collection, _ = raw.Lookup("ns", "coll").StringValueOK()
	ev.to, _ = raw.Lookup("to", "coll").StringValueOK()
	ev.id = raw.Lookup("documentKey", "_id")
	ev.doc, _ = raw.Lookup("fullDocument").DocumentOK()
	ev.updated, _ = raw.Lookup("updateDescription", "updatedFields").DocumentOK()
	if ev.doc != nil {
		ev.entity, _ = ev.doc.Lookup("entity").StringValueOK()
	}
	return ev, nil
}

func (ev event) changesDocument() bool {
	switch ev.op {
	case "insert", "update", "replace", "delete":
		return true
	}
	return false
}

// movesStamp reports whether a change shows the hand of the owning service. A
// delete shows nobody's.
func (ev event) movesStamp(field string) bool {
	switch ev.op {
	case "insert", "replace":
		return ev.doc == nil || !ev.doc.Lookup(field).IsZero()
	case "update":
		return !ev.updated.Lookup(field).IsZero()
	}
	return true
}

// tokenTime reads the cluster time in a resume token of MongoDB's own format: a
// KeyString whose first value is a timestamp (type byte 0x82). 0 for others.
func tokenTime(token bson.Raw) clock {
	data, ok := token.Lookup("_data").StringValueOK()
	if !ok || len(data) < 18 || data[:2] != "82" {
		return 0
	}
	b, err := hex.DecodeString(data[2:18])
	if err != nil {
		return 0
	}
	return clock(binary.BigEndian.Uint64(b))
}
