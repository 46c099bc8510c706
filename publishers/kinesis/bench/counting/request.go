package counting

import (
	"encoding/base64"
	"errors"
	"fmt"
)

var errBody = errors.New("the body is not a request")

// request is what matters of a call. It points into the body.
type request struct {
	stream  []byte
	records []record
}

// record is one of a PutRecords, and what becomes of it.
type record struct {
	key, explicit []byte
	data          []byte // as in the body
	base64        bool   // data is base64

	shard    int
	sequence uint64
	refused  bool
}

func (q *request) parse(media string, body []byte) error {
	q.stream, q.records = nil, q.records[:0]
	switch media {
	case mediaJSON:
		return q.parseJSON(body)
	case mediaCBOR:
		return q.parseCBOR(body)
	}
	return fmt.Errorf("%w: %q is neither %s nor %s", errBody, media, mediaJSON, mediaCBOR)
}

func (q *request) add() *record {
	q.records = append(q.records, record{})
	return &q.records[len(q.records)-1]
}

// set takes a member of a record by its name on the wire.
func (r *record) set(name, value []byte) {
	switch string(name) {
	case "PartitionKey":
		r.key = value
	case "ExplicitHashKey":
		r.explicit = value
	case "Data":
		r.data = value
	}
}

// bytes is the data as the publisher gave it.
func (r *record) bytes() ([]byte, error) {
	if !r.base64 {
		return r.data, nil
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(r.data)))
	n, err := base64.StdEncoding.Decode(data, r.data)
	if err != nil {
		return nil, fmt.Errorf("%w: data: %w", errBody, err)
	}
	return data[:n], nil
}
