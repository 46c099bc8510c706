package streams

import (
	"context"
	"errors"
	"strings"
	"time"
)

// ErrIteratorExpired is returned by Source.Read when the iterator is too old,
// so that a new one has to be asked for.
var ErrIteratorExpired = errors.New("streams: the shard iterator has expired")

// ErrTrimmed is returned by Source.Iterator when the position is older than
// what the stream still holds.
var ErrTrimmed = errors.New("streams: the position has been trimmed from the stream")

// Source is a sharded stream. Its methods are called by many goroutines.
type Source interface {
	// Shards lists the stream's shards, closed ones included.
	Shards(ctx context.Context) ([]Shard, error)
	// Iterator returns an iterator that starts at the position.
	Iterator(ctx context.Context, shard string, at Position) (string, error)
	// Read returns at most limit records.
	Read(ctx context.Context, shard, iterator string, limit int) (Page, error)
}

// Shard is a part of a stream in which order holds.
type Shard struct {
	ID      string
	Parents []string // the shards it was split or merged from
	Closed  bool     // it takes no more records
}

// Page is what one read returned.
type Page struct {
	Records []Record
	Next    string // empty at the end of a closed shard
	Behind  bool   // there is more to read at once
}

// Record is one record of a stream, or one message of a queue.
type Record struct {
	Sequence string // decimal; of a message, its id
	Key      string // what order holds for
	Receipt  string // of a message only: what deletes it
	Arrived  time.Time
	Event    []byte // the record as JSON, as the function gets it
}

// Start says where reading begins; the names are those of the API.
type Start string

// Where reading can begin.
const (
	TrimHorizon         Start = "TRIM_HORIZON"
	Latest              Start = "LATEST"
	AtTimestamp         Start = "AT_TIMESTAMP"
	AtSequenceNumber    Start = "AT_SEQUENCE_NUMBER"
	AfterSequenceNumber Start = "AFTER_SEQUENCE_NUMBER"
)

// Position is a place in a shard.
type Position struct {
	Start    Start
	Time     time.Time // for AtTimestamp
	Sequence string    // for AtSequenceNumber and AfterSequenceNumber
}

// less compares sequence numbers, which are decimal numbers of any length.
func less(a, b string) bool {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return a < b
}
