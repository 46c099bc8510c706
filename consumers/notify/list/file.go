package list

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxLine is how long a line may be, in bytes.
const maxLine = 64 << 10

// file is an open list.
type file struct {
	*os.File
	identity string // SHA-256 of its bytes
	size     int64
}

// open hashes a list.
func open(ctx context.Context, path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, untilDone{ctx, f})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("hash the list %s: %w", path, err)
	}
	return &file{f, hex.EncodeToString(hash.Sum(nil)), size}, nil
}

type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// unchanged reports an error where the file is no longer as long as it was hashed.
func (f *file) unchanged() error {
	info, err := f.Stat()
	if err == nil && info.Size() != f.size {
		err = errors.New("it was changed while it was sent; its recipients may be others than those that were sent to")
	}
	return err
}

// lines reads lines with their positions: bytes of the text, uncompressed.
type lines struct {
	*bufio.Scanner
	number, position int64
}

func (f *file) lines() (*lines, error) {
	buffered := bufio.NewReaderSize(f, 1<<20)
	var from io.Reader = buffered
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		from = unzipped
	}
	l := &lines{Scanner: bufio.NewScanner(from)}
	l.Buffer(make([]byte, maxLine), maxLine)
	l.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		advance, token, err := bufio.ScanLines(data, atEOF)
		l.position += int64(advance)
		return advance, token, err
	})
	return l, nil
}

// next is the next line that is not blank; false at the end, which Err explains.
func (l *lines) next() (string, bool) {
	for l.Scan() {
		l.number++
		if text := l.Text(); strings.TrimSpace(text) != "" {
			return text, true
		}
	}
	return "", false
}

// Err is why there are no more lines, nil at the end of the file.
func (l *lines) Err() error {
	err := l.Scanner.Err()
	if err != nil {
		err = fmt.Errorf("read line %d of the list: %w", l.number+1, err)
	}
	return err
}

// start reads the header, if the file has one, and returns the parser and a first line
// that is no header.
func (l *lines) start() (parse parser, first string, err error) {
	line, ok := l.next()
	switch {
	case !ok && l.Err() != nil:
		return nil, "", l.Err()
	case !ok:
		return nil, "", errors.New("the list is empty")
	case strings.HasPrefix(strings.TrimSpace(line), "{"):
		return parseJSON, line, nil
	}
	parse, err = parseCSV(line)
	return parse, "", err
}
