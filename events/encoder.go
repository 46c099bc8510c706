package events

// chunkSize is the memory that an Encoder allocates at once. Events beyond a quarter
// of it get memory of their own, so that little is wasted.
const chunkSize = 32 << 10

// Encoder is Encode for callers that drop many events at about the same time:
// several share one piece of memory, which costs a fraction of an allocation each.
// Keeping one of the results keeps all of that piece, 32 KiB.
// The zero value is ready. Not safe for concurrent use.
type Encoder struct {
	free []byte // the rest of the present piece, with no length
}

// Encode is like the function of the same name. The result is the caller's.
func (c *Encoder) Encode(e Event) ([]byte, error) {
	size := e.sizeHint()
	if size > chunkSize/4 {
		return encode(nil, &e)
	}
	if cap(c.free) < size {
		c.free = make([]byte, 0, chunkSize)
	}
	b, err := encode(c.free, &e)
	if err != nil {
		return nil, err
	}
	n := len(b)
	if n <= cap(c.free) { // otherwise escapes made it longer, and append allocated
		c.free = c.free[n:n:cap(c.free)]
	}
	return b[:n:n], nil
}
