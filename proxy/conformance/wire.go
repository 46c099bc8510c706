package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// message is one HTTP/1.1 message as it came over the wire.
type message struct {
	raw     []byte // the head, with the bytes that made it invalid
	start   string // the request line or status line
	fields  []string
	body    []byte
	trailer []string
	whole   bool // it was read to the end that its framing says
}

// errWire is a byte sequence that no careful sender puts on a connection.
var errWire = errors.New("invalid HTTP/1.1")

func wireError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errWire}, args...)...)
}

const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func isToken(s string) bool { return s != "" && strings.Trim(s, tokenChars) == "" }

// readLine reads a line that ends in CRLF and has no other control character.
func readLine(r *bufio.Reader) (raw []byte, line string, err error) {
	if raw, err = r.ReadBytes('\n'); err != nil {
		return raw, "", err
	}
	line, ok := strings.CutSuffix(string(raw), "\r\n")
	if !ok || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return raw, "", wireError("line %q", clip(string(raw)))
	}
	return raw, line, nil
}

// readHead reads a head and refuses whatever two readers could understand differently:
// io.EOF means that there was none.
func readHead(r *bufio.Reader) (*message, error) {
	m := &message{}
	raw, line, err := readLine(r)
	m.raw, m.start = raw, line
	if err == nil && line == "" {
		err = wireError("an empty line before the first one")
	}
	if err == nil {
		err = readFields(r, &m.raw, &m.fields)
	}
	if err == io.EOF && len(m.raw) > 0 {
		err = io.ErrUnexpectedEOF
	}
	return m, err
}

func readFields(r *bufio.Reader, raw *[]byte, fields *[]string) error {
	for {
		b, line, err := readLine(r)
		*raw = append(*raw, b...)
		if err != nil || line == "" {
			return err
		}
		name, value, _ := strings.Cut(line, ":")
		if len(name) == len(line) || !isToken(name) {
			return wireError("field %q", clip(line))
		}
		*fields = append(*fields, name+": "+strings.Trim(value, " \t"))
	}
}

// values returns the values of a field, in order.
func values(fields []string, name string) (out []string) {
	for _, f := range fields {
		if n, v, _ := strings.Cut(f, ": "); strings.EqualFold(n, name) {
			out = append(out, v)
		}
	}
	return out
}

func (m *message) value(name string) string { return strings.Join(values(m.fields, name), ", ") }

// hasToken reports whether a list such as that of Connection names the token.
func (m *message) hasToken(field, token string) bool {
	return slices.ContainsFunc(strings.Split(m.value(field), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), token)
	})
}

// requestLine splits the first line of a request.
func (m *message) requestLine() (method, target string, err error) {
	parts := strings.Split(m.start, " ")
	if len(parts) != 3 || !isToken(parts[0]) || parts[1] == "" || parts[2] != "HTTP/1.1" && parts[2] != "HTTP/1.0" {
		return "", "", wireError("request line %q", clip(m.start))
	}
	return parts[0], parts[1], nil
}

// status is the status of an answer.
func (m *message) status() (int, error) {
	version, rest, _ := strings.Cut(m.start, " ")
	code, _, found := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if version != "HTTP/1.1" && version != "HTTP/1.0" || !found || err != nil || len(code) != 3 || n < 100 {
		return 0, wireError("status line %q", clip(m.start))
	}
	return n, nil
}

// bodyReader gives the body as its framing says: io.EOF after a whole one, and
// io.ErrUnexpectedEOF for one that was cut. untilEOF is for answers, which may end with
// their connection.
func (m *message) bodyReader(r *bufio.Reader, untilEOF bool) (io.Reader, error) {
	coding, length := values(m.fields, "Transfer-Encoding"), values(m.fields, "Content-Length")
	switch {
	case len(coding) == 1 && len(length) == 0 && strings.EqualFold(coding[0], "chunked"):
		return &chunks{r: r, m: m}, nil
	case len(coding) > 0:
		return nil, wireError("Transfer-Encoding %q with Content-Length %q", coding, length)
	case len(length) == 0 && untilEOF:
		return r, nil
	case len(length) == 0:
		return strings.NewReader(""), nil
	}
	n, err := strconv.ParseUint(length[0], 10, 62)
	if err != nil || len(length) > 1 || strings.Trim(length[0], "0123456789") != "" {
		return nil, wireError("Content-Length %q", length)
	}
	return &counted{r, int64(n)}, nil
}

// readBody reads the rest of a message. An error leaves what was read.
func (m *message) readBody(r *bufio.Reader, untilEOF bool) error {
	body, err := m.bodyReader(r, untilEOF)
	if err == nil {
		var b []byte
		b, err = io.ReadAll(body)
		m.body = append(m.body, b...)
	}
	m.whole = err == nil
	return err
}

// counted is a body with Content-Length, or a chunk.
type counted struct {
	r    io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left > 0 {
		err = cutShort(err)
	}
	return n, err
}

// chunks is a chunked body. It wants what a sender generates: no extensions, which are
// for one connection only, and no line ends but CRLF.
type chunks struct {
	r    *bufio.Reader
	m    *message
	left int64
	err  error
}

func (c *chunks) Read(p []byte) (n int, err error) {
	if c.left == 0 && c.err == nil {
		c.err = c.next()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err = c.r.Read(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left == 0 && err == nil {
		var end [2]byte
		if _, err = io.ReadFull(c.r, end[:]); err == nil && string(end[:]) != "\r\n" {
			err = wireError("chunk data ends in %q", end)
		}
	}
	c.err = cutShort(err)
	return n, c.err
}

func (c *chunks) next() error {
	_, line, err := readLine(c.r)
	if err != nil {
		return cutShort(err)
	}
	n, err := strconv.ParseUint(line, 16, 62)
	if err != nil || strings.Trim(line, "0123456789abcdefABCDEF") != "" {
		return wireError("chunk size %q", clip(line))
	}
	if c.left = int64(n); n > 0 {
		return nil
	}
	if err := readFields(c.r, new([]byte), &c.m.trailer); err != nil {
		return cutShort(err)
	}
	return io.EOF
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func clip(s string) string {
	if len(s) > 300 {
		return s[:200] + fmt.Sprintf("... (%d bytes) ...", len(s)-300) + s[len(s)-100:]
	}
	return s
}
