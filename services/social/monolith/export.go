package monolith

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine is the most bytes of one exported document: MongoDB's 16 MB take several
// times as many in canonical extended JSON.
const maxLine = 96 << 20

// exported is one document of an export and the line where it begins.
type exported struct {
	line int
	text []byte
}

// readExport hands on the documents of a mongoexport file, one at a time: one a
// line, or an array of them. Text is only good until the next call. A file that
// stops making sense as a whole, such as a broken array, is an error that begins
// with the line.
func readExport(r io.Reader, each func(exported) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	line, first, err := skipToContent(in)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	if first == '[' {
		return readArray(in, line, each)
	}
	return readLines(in, line, each)
}

// skipToContent skips a byte order mark and white space.
func skipToContent(in *bufio.Reader) (line int, first byte, err error) {
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	for line = 1; ; {
		b, err := in.ReadByte()
		if err != nil {
			return line, 0, err
		}
		switch b {
		case '\n':
			line++
		case ' ', '\t', '\r':
		default:
			return line, b, in.UnreadByte()
		}
	}
}

func readLines(in *bufio.Reader, line int, each func(exported) error) error {
	var buf []byte
	for ; ; line++ {
		var err error
		buf, err = appendLine(buf[:0], in)
		if errors.Is(err, errLongLine) {
			return fmt.Errorf("%d: %w", line, err)
		}
		if text := bytes.TrimSpace(buf); len(text) > 0 {
			if eachErr := each(exported{line, text}); eachErr != nil {
				return eachErr
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errLongLine = fmt.Errorf("the line has more than %d MiB", maxLine>>20)

func appendLine(buf []byte, in *bufio.Reader) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(buf)+len(part) > maxLine {
			return buf, errLongLine
		}
		buf = append(buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, err
		}
	}
}

func readArray(in *bufio.Reader, line int, each func(exported) error) error {
	count := &lineCounter{in: in}
	d := json.NewDecoder(count)
	fail := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%d: the array of documents is broken: %w", line+count.upTo(errorOffset(err, d)), err)
	}
	if _, err := d.Token(); err != nil {
		return fail(err)
	}
	for d.More() {
		var text json.RawMessage
		if err := d.Decode(&text); err != nil {
			return fail(err)
		}
		at := line + count.upTo(d.InputOffset()-int64(len(text)))
		if err := each(exported{at, text}); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fail(err)
	}
	return nil
}

func errorOffset(err error, d *json.Decoder) int64 {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return max(syntax.Offset-1, d.InputOffset())
	}
	return d.InputOffset()
}

// lineCounter remembers where lines end in what was read ahead but not yet asked
// about.
type lineCounter struct {
	in    io.Reader
	read  int64
	ends  []int64
	lines int
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.ends = append(c.ends, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

// upTo counts the lines that end before offset, which must not go back.
func (c *lineCounter) upTo(offset int64) int {
	for len(c.ends) > 0 && c.ends[0] < offset {
		c.ends = c.ends[1:]
		c.lines++
	}
	return c.lines
}
