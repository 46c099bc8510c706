package streams

import "bytes"

const (
	envelopeOpen  = `{"Records":[`
	envelopeClose = `]}`
	envelopeSize  = len(envelopeOpen) + len(envelopeClose)
)

// fits counts how many of the records can be given to one invocation: at most
// limit of them, and no more than MaxPayload bytes. It is at least one where
// there is one, though that one may be too large.
func fits(records []Record, limit int) int {
	size := envelopeSize
	for i, r := range records {
		size += len(r.Event) + 1
		if i == limit || (i > 0 && size-1 > MaxPayload) {
			return i
		}
	}
	return len(records)
}

// payload joins records into the event that the function is given.
func payload(records []Record) []byte {
	var b bytes.Buffer
	b.WriteString(envelopeOpen)
	for i, r := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(r.Event)
	}
	b.WriteString(envelopeClose)
	return b.Bytes()
}
