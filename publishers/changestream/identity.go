package changestream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// An identity derives the attributes of a change's events that must be the same whenever the
// change is published again.
type identity struct {
	digest   [sha256.Size]byte // of the change
	sequence uint64
	times    map[string]int // how many events of a type the change has
	first    string         // event's id
	n        int            // events so far
	refused  []string       // dead letters of the change
}

// identify derives the identity from where and when a document changed, and, for a snapshot, from
// which snapshot it was and what it read.
func (p *Publisher) identify(c *Change, snapshot string) *identity {
	h := sha256.New()
	writeFields(h, p.cfg.Cluster, c.Database, c.Collection, c.Operation, snapshot)
	id := c.ID()
	writeFields(h, string([]byte{byte(id.Type)}), string(id.Value))
	if snapshot == "" {
		writeFields(h, fmt.Sprintf("%d.%d.%d", c.ClusterTime.T, c.ClusterTime.I, c.Index))
	} else {
		writeFields(h, string(c.Full))
	}
	i := &identity{sequence: sequenceOf(c), times: map[string]int{}}
	h.Sum(i.digest[:0])
	return i
}

// writeFields writes each value with its length, so that different lists never have the same bytes.
func writeFields(h hash.Hash, all ...string) {
	var length [8]byte
	for _, s := range all {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
}

const (
	nanosPerSecond = 1_000_000_000
	maxIncrement   = 999_999 // changes of one second that have a sequence of their own
	perChange      = 4       // events of one change
	maxSub         = 998
	snapshotSub    = 999 // behind all changes of the time at which it was read
)

// sequenceOf is the cluster time in nanoseconds since 1970, as the clock of
// events counts, so that the events of a service that takes the entity over
// compare higher: seconds, then the increment as microseconds, then the index
// within one cluster time. It never shrinks along the stream; beyond a million
// changes a second, or 249 in one transaction, it only stays the same.
func sequenceOf(c *Change) uint64 {
	sub := min(c.Index*perChange, maxSub)
	if c.Operation == "snapshot" {
		sub = snapshotSub
	}
	return atTime(c.ClusterTime) + uint64(sub)
}

func atTime(t bson.Timestamp) uint64 {
	return uint64(t.T)*nanosPerSecond + uint64(min(t.I, maxIncrement))*1000
}

// complete sets the attributes that the mapping left empty.
func (i *identity) complete(e *events.Event, c *Change, source string) {
	nth := i.times[e.Type]
	i.times[e.Type]++
	h := sha256.New()
	h.Write(i.digest[:])
	writeFields(h, e.Type, fmt.Sprint(nth))
	sum := h.Sum(nil)
	setDefault(&e.ID, newUUID(sum))
	if i.first == "" {
		i.first = e.ID
	}
	sequence := i.sequence
	if c.Operation != "snapshot" {
		sequence += uint64(min(i.n, perChange-1))
	}
	i.n++
	setDefault(&e.Source, source)
	setDefault(&e.Sequence, fmt.Sprintf("%020d", sequence))
	setDefault(&e.PartitionKey, defaultKey(c))
	setDefault(&e.CorrelationID, i.first)
	setDefault(&e.TraceParent, i.newTrace(sum))
	if e.Time.IsZero() {
		e.Time = c.Wall
	}
	if e.Version == 0 {
		e.Version = 1
	}
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// newUUID makes a UUID of version 8, whose bits may be chosen freely: RFC 9562, 5.8.
func newUUID(sum []byte) string {
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// newTrace begins one trace for all events of a change.
func (i *identity) newTrace(event []byte) string {
	return "00-" + hex.EncodeToString(i.digest[:16]) + "-" + hex.EncodeToString(event[16:24]) + "-00"
}

func defaultKey(c *Change) string {
	s, err := bsonjson.Text(c.ID())
	if err != nil {
		return ""
	}
	return s
}
