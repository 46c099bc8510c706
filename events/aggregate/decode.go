package aggregate

import (
	"crypto/md5" //nolint:gosec // the format says MD5, as a checksum
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrTooMany is returned for a valid aggregate of more than [MaxRecords].
var ErrTooMany = fmt.Errorf("more than %d records in one aggregate", MaxRecords)

// IsAggregate reports whether data begins with the magic bytes and ends with the
// right digest. It computes that digest over all of data.
func IsAggregate(data []byte) bool {
	_, ok := message(data)
	return ok
}

func message(data []byte) ([]byte, bool) {
	if len(data) < Overhead || string(data[:len(magic)]) != magic {
		return nil, false
	}
	m := data[len(magic) : len(data)-digestSize]
	digest := md5.Sum(m) //nolint:gosec // as above
	return m, string(digest[:]) == string(data[len(data)-digestSize:])
}

// Decode returns the records of data in their order: those of the aggregate, or
// data itself as the only one when it is none. The index of a record is its Sub
// in a position. The payloads are parts of data, not copies.
//
// The only error is [ErrTooMany].
func Decode(data []byte) ([]Record, error) {
	c, err := open(data)
	if err != nil {
		return nil, err
	}
	records := make([]Record, 0, c.records)
	err = c.each(func(_ int, r Record) error {
		records = append(records, r)
		return nil
	})
	return records, err
}

// Each calls do for every record that [Decode] would return, without a slice of
// them, and stops at the first error, which it returns as it is. Nothing is
// called before the whole aggregate was found valid.
func Each(data []byte, do func(sub int, r Record) error) error {
	c, err := open(data)
	if err != nil {
		return err
	}
	return c.each(do)
}

// contents is a valid aggregate, or a plain record.
type contents struct {
	plain   []byte // the record itself, when message is nil
	message []byte
	keys    []string
	hashes  []string
	records int
}

var errBroken = errors.New("not an aggregate")

func open(data []byte) (contents, error) {
	m, ok := message(data)
	if !ok {
		return contents{plain: data, records: 1}, nil
	}
	c := contents{message: m}
	err := c.check()
	if errors.Is(err, errBroken) {
		return contents{plain: data, records: 1}, nil
	}
	return c, err
}

// check reads the tables and then every record once, since the tables may come
// after the records that refer to them.
func (c *contents) check() error {
	if err := fields(c.message, c.table); err != nil {
		return err
	}
	return fields(c.message, func(number protowire.Number, value []byte) error {
		if number != fieldRecords {
			return nil
		}
		_, err := c.record(value)
		return err
	})
}

func (c *contents) table(number protowire.Number, value []byte) error {
	switch number {
	case fieldPartitionKeys:
		c.keys = append(c.keys, string(value))
	case fieldExplicitHashKeys:
		c.hashes = append(c.hashes, string(value))
	case fieldRecords:
		c.records++
	}
	if max(c.records, len(c.keys), len(c.hashes)) > MaxRecords {
		return fmt.Errorf("aggregate: decode: %w", ErrTooMany)
	}
	return nil
}

func (c *contents) each(do func(sub int, r Record) error) error {
	if c.message == nil {
		return do(0, Record{Data: c.plain})
	}
	sub := 0
	return fields(c.message, func(number protowire.Number, value []byte) error {
		if number != fieldRecords {
			return nil
		}
		r, err := c.record(value)
		if err != nil {
			return err
		}
		sub++
		return do(sub-1, r)
	})
}

// fields calls do for each length-delimited field of a message and skips others.
func fields(m []byte, do func(protowire.Number, []byte) error) error {
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return errBroken
		}
		m = m[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, m); n < 0 {
				return errBroken
			}
			m = m[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(m)
		if n < 0 {
			return errBroken
		}
		if err := do(number, value); err != nil {
			return err
		}
		m = m[n:]
	}
	return nil
}

// record reads one record; of a repeated field the last counts, as in
// protobuf.
func (c *contents) record(m []byte) (Record, error) {
	var r Record
	var hasKey, hasData bool
	for len(m) > 0 {
		number, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return r, errBroken
		}
		m = m[n:]
		if n = protowire.ConsumeFieldValue(number, kind, m); n < 0 {
			return r, errBroken
		}
		value, ok := m[:n], true
		m = m[n:]
		switch {
		case number == fieldKeyIndex && kind == protowire.VarintType:
			r.PartitionKey, ok = lookUp(c.keys, value)
			hasKey = true
		case number == fieldHashIndex && kind == protowire.VarintType:
			r.ExplicitHashKey, ok = lookUp(c.hashes, value)
		case number == fieldData && kind == protowire.BytesType:
			r.Data, _ = protowire.ConsumeBytes(value)
			hasData = true
		}
		if !ok {
			return r, errBroken
		}
	}
	if !hasKey || !hasData {
		return r, errBroken
	}
	return r, nil
}

func lookUp(table []string, varint []byte) (string, bool) {
	i, _ := protowire.ConsumeVarint(varint)
	if i >= uint64(len(table)) {
		return "", false
	}
	return table[i], true
}
