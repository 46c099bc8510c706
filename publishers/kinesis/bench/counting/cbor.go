package counting

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The major types of CBOR, see https://www.rfc-editor.org/rfc/rfc8949.html#section-3.1.
const (
	cborUnsigned = iota
	cborNegative
	cborBytes
	cborText
	cborArray
	cborMap
	cborTag
	cborSimple
)

// mostCBORDepth bounds the nesting of what is skipped.
const mostCBORDepth = 16

var errCBOR = errors.New("cut off, or another type than expected")

// cborBody walks over the CBOR of one request.
type cborBody struct {
	b []byte
	i int
}

func (q *request) parseCBOR(body []byte) error {
	c := cborBody{b: body}
	err := c.object(func(name []byte) (err error) {
		switch string(name) {
		case "StreamName":
			q.stream, err = c.span(cborText)
			return err
		case "Records":
			return c.list(cborArray, func() error { return c.record(q.add()) })
		}
		return c.skip(0)
	})
	if err != nil {
		return fmt.Errorf("%w: CBOR: byte %d: %w", errBody, c.i, err)
	}
	return nil
}

func (c *cborBody) record(r *record) error {
	return c.object(func(name []byte) error {
		major := cborText
		if string(name) == "Data" {
			major = cborBytes
		}
		value, err := c.span(major)
		r.set(name, value)
		return err
	})
}

func (c *cborBody) object(member func(name []byte) error) error {
	return c.list(cborMap, func() error {
		name, err := c.span(cborText)
		if err != nil {
			return err
		}
		return member(name)
	})
}

// list calls element for each element of an array or pair of a map.
func (c *cborBody) list(major int, element func() error) error {
	got, n, endless, err := c.head()
	if err != nil || got != major {
		return errCBOR
	}
	for ; endless || n > 0; n-- {
		if endless && c.take(0xff) {
			return nil
		}
		if err := element(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cborBody) take(b byte) bool {
	if c.i < len(c.b) && c.b[c.i] == b {
		c.i++
		return true
	}
	return false
}

// head reads the type and the number that each item begins with.
func (c *cborBody) head() (major int, n uint64, endless bool, err error) {
	if c.i >= len(c.b) {
		return 0, 0, false, errCBOR
	}
	first := c.b[c.i]
	c.i++
	major, n = int(first>>5), uint64(first&31)
	switch {
	case n < 24:
		return major, n, false, nil
	case n == 31:
		return major, 0, true, nil
	case n > 27:
		return 0, 0, false, errCBOR
	}
	size := 1 << (n - 24)
	if len(c.b)-c.i < size {
		return 0, 0, false, errCBOR
	}
	var number [8]byte
	copy(number[8-size:], c.b[c.i:c.i+size])
	c.i += size
	return major, binary.BigEndian.Uint64(number[:]), false, nil
}

// span reads bytes or text of known length.
func (c *cborBody) span(major int) ([]byte, error) {
	got, n, endless, err := c.head()
	if err != nil || got != major || endless || n > uint64(len(c.b)-c.i) {
		return nil, errCBOR
	}
	s := c.b[c.i : c.i+int(n)]
	c.i += int(n)
	return s, nil
}

// skip goes over one item that nobody asked for.
func (c *cborBody) skip(depth int) error {
	start := c.i
	major, n, endless, err := c.head()
	if err != nil || depth > mostCBORDepth {
		return errCBOR
	}
	again := func() error { return c.skip(depth + 1) }
	switch {
	case major == cborTag:
		return again()
	case major == cborArray:
		c.i = start
		return c.list(major, again)
	case major == cborMap:
		c.i = start
		return c.list(major, func() error { return errors.Join(again(), again()) })
	case major == cborBytes || major == cborText:
		if endless || n > uint64(len(c.b)-c.i) {
			return errCBOR
		}
		c.i += int(n)
	}
	return nil
}

func appendCBORHead(dst []byte, major int, n uint64) []byte {
	top := byte(major << 5)
	switch {
	case n < 24:
		return append(dst, top|byte(n))
	case n < 1<<8:
		return append(dst, top|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, top|25), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, top|26), uint32(n))
}

func appendCBORText(dst []byte, s string) []byte {
	return append(appendCBORHead(dst, cborText, uint64(len(s))), s...)
}
