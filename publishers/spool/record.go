package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// Everything that the spool writes into the file is a record: a value that says
// by itself what it is, so that it can be found and proven without the database
// around it. Numbers are little-endian.
//
//	 0  4  magic
//	 4  4  CRC-32C of all that follows
//	 8  8  the file's id, random
//	16  8  generation: the number of the transaction that wrote it
//	24  8  number: of the event in the order of enqueueing, the key in its bucket
//	32  8  time it was enqueued, nanoseconds since 1970
//	40  1  kind
//	41  1  zero
//	42  2  length of the partition key
//	44  4  length of the data
//	48     partition key, data
const (
	recordHeader = 48
	recordMagic  = "\xb5BnS"
)

// What a record can be.
const (
	kindEvent   = 1
	kindRefused = 2 // the data is a refusal
	kindState   = 3 // the data is a state
	kindReport  = 4 // the data is a Salvage as JSON
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one record, decoded. It shares its bytes with what it was read from.
type record struct {
	file, generation, number uint64
	enqueuedAt               int64 // nanoseconds since 1970
	kind                     byte
	key                      []byte
	data                     []byte
}

func (r *record) size() int { return recordHeader + len(r.key) + len(r.data) }

func (r *record) enqueuedTime() time.Time { return time.Unix(0, r.enqueuedAt).UTC() }

// appendTo writes r behind b.
func (r *record) appendTo(b []byte) []byte { return r.appendKeyed(b, string(r.key)) }

// appendKeyed writes r with another key.
func (r *record) appendKeyed(b []byte, key string) []byte {
	start := len(b)
	b = append(b, recordMagic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, r.file)
	b = binary.LittleEndian.AppendUint64(b, r.generation)
	b = binary.LittleEndian.AppendUint64(b, r.number)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.enqueuedAt))
	b = append(b, r.kind, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.data)))
	b = append(append(b, key...), r.data...)
	binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
	return b
}

// recordLength returns the length of the record that b may begin with.
func recordLength(b []byte) (int, bool) {
	if len(b) < recordHeader || string(b[:4]) != recordMagic {
		return 0, false
	}
	n := uint64(recordHeader) + uint64(binary.LittleEndian.Uint16(b[42:])) + uint64(binary.LittleEndian.Uint32(b[44:]))
	return int(n), n <= maxRecord
}

// parseRecord reads the record that b is, to its last byte.
func parseRecord(b []byte) (record, error) {
	n, ok := recordLength(b)
	if !ok || n != len(b) {
		return record{}, fmt.Errorf("%w: %d bytes that are no record", errDamaged, len(b))
	}
	if sum := crc32.Checksum(b[8:], castagnoli); sum != binary.LittleEndian.Uint32(b[4:]) {
		return record{}, fmt.Errorf("%w: a record of %d bytes does not have its checksum", errDamaged, len(b))
	}
	keyEnd := recordHeader + int(binary.LittleEndian.Uint16(b[42:]))
	return record{
		file:       binary.LittleEndian.Uint64(b[8:]),
		generation: binary.LittleEndian.Uint64(b[16:]),
		number:     binary.LittleEndian.Uint64(b[24:]),
		enqueuedAt: int64(binary.LittleEndian.Uint64(b[32:])),
		kind:       b[40],
		key:        b[recordHeader:keyEnd:keyEnd],
		data:       b[keyEnd:],
	}, nil
}

// readEnqueuedAt reads the time out of an intact record, without decoding the rest.
func readEnqueuedAt(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b[32:])) }

// keyNumber is the number that numberKey made a key of.
func keyNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key) }

// numberKey is the key of a record in its bucket: its order is that of numbers.
func numberKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// state holds the file's counters. It changes in the same transaction as
// what it counts.
type state struct {
	Format    uint64
	Head      uint64 // every event below was forwarded, refused or removed
	Next      uint64 // number of the next event
	Events    uint64 // that wait
	Bytes     uint64 // of their records
	Refused   uint64 // that are kept
	RefusedB  uint64 // bytes of their records
	Enqueued  uint64 // ever
	Forwarded uint64 // ever
	Txid      uint64 // of the database's transaction that wrote it
}

const (
	format     = 1
	stateWords = 10
)

func (s *state) words() [stateWords]*uint64 {
	return [...]*uint64{&s.Format, &s.Head, &s.Next, &s.Events, &s.Bytes, &s.Refused, &s.RefusedB, &s.Enqueued, &s.Forwarded, &s.Txid}
}

func (s state) encode() []byte {
	var b []byte
	for _, w := range s.words() {
		b = binary.LittleEndian.AppendUint64(b, *w)
	}
	return b
}

// parseState reads what encode wrote. A later format may have more behind it.
func parseState(b []byte) (s state, err error) {
	if len(b) < stateWords*8 {
		return s, fmt.Errorf("%w: a state of %d bytes", errDamaged, len(b))
	}
	for i, w := range s.words() {
		*w = binary.LittleEndian.Uint64(b[i*8:])
	}
	return s, nil
}

// refusal is an event with why it was refused and when.
type refusal struct {
	at     int64
	reason string
	data   []byte
}

func (r refusal) encode() []byte {
	reason := r.reason[:min(len(r.reason), maxReason)]
	b := binary.LittleEndian.AppendUint64(nil, uint64(r.at))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(reason)))
	return append(append(b, reason...), r.data...)
}

const maxReason = 2048 // bytes

func parseRefusal(b []byte) (refusal, error) {
	if len(b) < 10 || len(b) < 10+int(binary.LittleEndian.Uint16(b[8:])) {
		return refusal{}, fmt.Errorf("%w: a refusal of %d bytes", errDamaged, len(b))
	}
	end := 10 + int(binary.LittleEndian.Uint16(b[8:]))
	return refusal{int64(binary.LittleEndian.Uint64(b)), string(b[10:end]), b[end:]}, nil
}
