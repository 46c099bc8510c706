package putrecords

import (
	"encoding/binary"
	"encoding/json"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/segmentio/asm/base64"

	"github.com/banyan-fig/banyan/events/aggregate"
)

// writers are shared by all requests, so that one that waits for its turn does
// not hold memory.
var writers = sync.Pool{New: func() any { return new(writer) }}

// writer holds the memory in which a request is written.
type writer struct {
	body       []byte
	raw        []byte   // aggregates, before they become base64
	aggregates [][]byte // parts of body or raw
	ends       []int    // where each of them ends there
}

func (w *writer) write(r *Request, encoding Encoding) {
	if encoding == CBOR {
		w.writeCBOR(r)
	} else {
		w.writeJSON(r)
	}
}

// overheadPerRecord is more than what an encoding adds to a record beside its strings.
const overheadPerRecord = 80

// writeJSON writes what the SDK would, byte for byte where no key has characters
// that JSON escapes.
func (w *writer) writeJSON(r *Request) {
	w.gather(r)
	w.body = slices.Grow(w.body[:0], base64.StdEncoding.EncodedLen(r.bytes)+(len(r.entries)+1)*overheadPerRecord)
	b := append(w.body, `{"Records":[`...)
	next := 0
	for i := range r.entries {
		e := &r.entries[i]
		data := e.data
		if e.aggregate != nil {
			data = w.aggregates[next]
			next++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Data":"`...)
		b = appendBase64(b, data)
		if e.explicitHashKey != "" {
			b = append(b, `","ExplicitHashKey":`...)
			b = appendString(b, e.explicitHashKey)
			b = append(b, `,"PartitionKey":`...)
		} else {
			b = append(b, `","PartitionKey":`...)
		}
		b = appendString(b, e.partitionKey)
		b = append(b, '}')
	}
	b = append(b, `],"StreamName":`...)
	b = appendString(b, r.stream)
	w.body = append(b, '}')
}

// gather writes the aggregates, one after the other.
func (w *writer) gather(r *Request) {
	w.raw = slices.Grow(w.raw[:0], r.bytes)
	w.ends = w.ends[:0]
	for i := range r.entries {
		if b := r.entries[i].aggregate; b != nil {
			w.raw = b.AppendUnsealed(w.raw)
			w.ends = append(w.ends, len(w.raw))
		}
	}
	w.aggregates = w.aggregates[:0]
	start := 0
	for _, end := range w.ends {
		w.aggregates = append(w.aggregates, w.raw[start:end])
		start = end
	}
	aggregate.Seal(w.aggregates...)
}

func appendBase64(b, data []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(data))
	b = slices.Grow(b, n)
	base64.StdEncoding.Encode(b[len(b):len(b)+n], data)
	return b[:len(b)+n]
}

func appendString(b []byte, s string) []byte {
	if !isPlain(s) {
		quoted, err := json.Marshal(s)
		if err != nil {
			panic(err) // a string always encodes
		}
		return append(b, quoted...)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// isPlain is for strings that are the same in JSON.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// What CBOR is made of, see RFC 8949.
const (
	cborUnsigned   = 0 << 5
	cborNegative   = 1 << 5
	cborBytes      = 2 << 5
	cborText       = 3 << 5
	cborArray      = 4 << 5
	cborMap        = 5 << 5
	cborTag        = 6 << 5
	cborSimple     = 7 << 5
	cborIndefinite = 31
	cborBreak      = cborSimple | cborIndefinite
)

// writeCBOR writes what Amazon's SDK for Java does: maps and arrays of no stated
// length, in the same order.
func (w *writer) writeCBOR(r *Request) {
	w.body = slices.Grow(w.body[:0], r.bytes+(len(r.entries)+1)*overheadPerRecord)
	w.ends = w.ends[:0]
	b := append(w.body, cborMap|cborIndefinite)
	b = appendText(b, "Records")
	b = append(b, cborArray|cborIndefinite)
	for i := range r.entries {
		e := &r.entries[i]
		b = append(b, cborMap|cborIndefinite)
		b = appendText(b, "Data")
		if e.aggregate == nil {
			b = appendHead(b, cborBytes, len(e.data))
			b = append(b, e.data...)
		} else {
			b = appendHead(b, cborBytes, e.aggregate.Size())
			b = e.aggregate.AppendUnsealed(b)
			w.ends = append(w.ends, len(b))
		}
		if e.explicitHashKey != "" {
			b = appendText(b, "ExplicitHashKey")
			b = appendText(b, e.explicitHashKey)
		}
		b = appendText(b, "PartitionKey")
		b = appendText(b, e.partitionKey)
		b = append(b, cborBreak)
	}
	b = append(b, cborBreak)
	b = appendText(b, "StreamName")
	b = appendText(b, r.stream)
	w.body = append(b, cborBreak)
	w.sealInPlace(r)
}

func (w *writer) sealInPlace(r *Request) {
	w.aggregates = w.aggregates[:0]
	next := 0
	for i := range r.entries {
		if b := r.entries[i].aggregate; b != nil {
			end := w.ends[next]
			w.aggregates = append(w.aggregates, w.body[end-b.Size():end])
			next++
		}
	}
	aggregate.Seal(w.aggregates...)
}

func appendText(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = string([]rune(s)) // as it would arrive in JSON
	}
	b = appendHead(b, cborText, len(s))
	return append(b, s...)
}

func appendHead(b []byte, kind byte, n int) []byte {
	switch {
	case n < 24:
		return append(b, kind|byte(n))
	case n <= 0xff:
		return append(b, kind|24, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, kind|25), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, kind|26), uint32(n))
}
