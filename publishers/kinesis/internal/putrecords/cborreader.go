package putrecords

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// cborReader reads CBOR, see RFC 8949.
type cborReader struct {
	data   []byte
	at     int
	depth  int
	chunks []byte // of a text that came in several
}

// endless is the length of what ends with a break.
const endless = math.MaxUint64

// head reads the type and argument of the next item, over its tags.
func (d *cborReader) head() (kind byte, n uint64, err error) {
	for range mostDepth {
		kind, n, err = d.oneHead()
		if err != nil || kind != cborTag {
			return kind, n, err
		}
	}
	return 0, 0, errTooDeep
}

func (d *cborReader) oneHead() (kind byte, n uint64, err error) {
	if d.at >= len(d.data) {
		return 0, 0, errMalformed
	}
	kind, info := d.data[d.at]&0xe0, d.data[d.at]&0x1f
	d.at++
	switch {
	case info < 24:
		return kind, uint64(info), nil
	case info < 28:
		n, err = d.argument(1 << (info - 24))
		return kind, n, err
	case info == cborIndefinite && kind >= cborBytes && kind != cborTag:
		return kind, endless, nil
	}
	return 0, 0, errMalformed
}

func (d *cborReader) argument(size int) (uint64, error) {
	if len(d.data)-d.at < size {
		return 0, errMalformed
	}
	var wide [8]byte
	copy(wide[8-size:], d.data[d.at:])
	d.at += size
	n := binary.BigEndian.Uint64(wide[:])
	if n == endless {
		return 0, errMalformed // nothing has that many
	}
	return n, nil
}

// ended tells whether a break comes next, and reads it.
func (d *cborReader) ended() bool {
	if d.at < len(d.data) && d.data[d.at] == cborBreak {
		d.at++
		return true
	}
	return false
}

func (d *cborReader) object(field func(name []byte) error) error {
	return d.nested(cborMap, func() error {
		name, err := d.text()
		if err != nil {
			return err
		}
		return field(name)
	})
}

func (d *cborReader) array(item func() error) error { return d.nested(cborArray, item) }

func (d *cborReader) nested(want byte, item func() error) error {
	kind, n, err := d.head()
	if err != nil || isNull(kind, n) {
		return err
	}
	if kind != want {
		return errMalformed
	}
	return d.items(n, item)
}

func (d *cborReader) items(n uint64, item func() error) error {
	if d.depth++; d.depth > mostDepth {
		return errTooDeep
	}
	defer func() { d.depth-- }()
	for i := uint64(0); i < n; i++ {
		if n == endless && d.ended() {
			return nil
		}
		if err := item(); err != nil {
			return err
		}
	}
	return nil
}

// isNull is for null and undefined.
func isNull(kind byte, n uint64) bool { return kind == cborSimple && (n == 22 || n == 23) }

func (d *cborReader) text() ([]byte, error) {
	kind, n, err := d.head()
	if err != nil || isNull(kind, n) {
		return nil, err
	}
	if kind != cborText {
		return nil, errMalformed
	}
	text, err := d.string(kind, n)
	if err == nil && !utf8.Valid(text) {
		err = errMalformed
	}
	return text, err
}

// string reads what follows the head of a text or of bytes.
func (d *cborReader) string(kind byte, n uint64) ([]byte, error) {
	if n != endless {
		if n > uint64(len(d.data)-d.at) {
			return nil, errMalformed
		}
		d.at += int(n)
		return d.data[d.at-int(n) : d.at], nil
	}
	d.chunks = d.chunks[:0]
	for !d.ended() {
		k, n, err := d.oneHead()
		if err != nil || k != kind || n == endless {
			return nil, errMalformed
		}
		chunk, err := d.string(k, n)
		if err != nil {
			return nil, err
		}
		d.chunks = append(d.chunks, chunk...)
	}
	return d.chunks, nil
}

func (d *cborReader) skip() error {
	kind, n, err := d.head()
	if err != nil {
		return err
	}
	switch kind {
	case cborUnsigned, cborNegative:
	case cborBytes, cborText:
		_, err = d.string(kind, n)
	case cborArray:
		err = d.items(n, d.skip)
	case cborMap:
		err = d.items(n, func() error {
			if err := d.skip(); err != nil {
				return err
			}
			return d.skip()
		})
	default:
		if n == endless {
			err = errMalformed // a break where there is nothing to end
		}
	}
	return err
}

func (d *cborReader) end() error {
	if d.at < len(d.data) {
		return errMalformed
	}
	return nil
}
