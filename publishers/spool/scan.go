package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
)

const scanBuffer = 4 << 20 // bytes

// lastState is the latest state of a file that could be found.
type lastState struct {
	state
	file, generation uint64
}

// findState reads all of a file for records and returns the state with the
// highest generation, of the file id that most records have.
func findState(f *os.File) (lastState, bool, error) {
	states := make(map[uint64]lastState)
	votes := make(map[uint64]int)
	err := scan(f, func(r *record) error {
		if len(votes) < 1000 || votes[r.file] > 0 {
			votes[r.file]++
		}
		s, err := parseState(r.data)
		if r.kind == kindState && err == nil && (states[r.file].generation <= r.generation) && len(states) < 1000 {
			states[r.file] = lastState{s, r.file, r.generation}
		}
		return nil
	})
	var file uint64
	for id, n := range votes {
		if n > votes[file] || n == votes[file] && id > file {
			file = id
		}
	}
	s, found := states[file]
	s.file = file
	return s, found, err
}

// scan finds every record that is whole, wherever it is in the file. What is
// inside of a record is not looked at again.
func scan(f *os.File, visit func(*record) error) error {
	s := scanner{f: f, buf: make([]byte, 0, scanBuffer)}
	for {
		rest, err := s.next()
		if err != nil || rest == nil {
			return err
		}
		n, ok := recordLength(rest)
		if !ok {
			s.skip(1)
			continue
		}
		whole, err := s.peek(n)
		if err != nil {
			return err
		}
		r, err := parseRecord(whole)
		if err != nil {
			s.skip(1)
			continue
		}
		if err := visit(&r); err != nil {
			return err
		}
		s.skip(n)
	}
}

// scanner is a window on a file.
type scanner struct {
	f   *os.File
	buf []byte
	at  int   // in buf
	off int64 // in the file, of the end of buf
	end bool
}

func (s *scanner) skip(n int) { s.at += n }

// next returns at least a header that begins with the magic of records, nil at
// the end of the file.
func (s *scanner) next() ([]byte, error) {
	for {
		if i := bytes.Index(s.buf[s.at:], []byte(recordMagic)); i >= 0 {
			s.at += i
			return s.peek(recordHeader)
		}
		s.at = max(s.at, len(s.buf)-len(recordMagic)+1)
		if s.end {
			return nil, nil
		}
		if err := s.fill(len(recordMagic)); err != nil {
			return nil, err
		}
	}
}

// peek returns n bytes, fewer only at the end of the file.
func (s *scanner) peek(n int) ([]byte, error) {
	for len(s.buf)-s.at < n && !s.end {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	return s.buf[s.at:min(s.at+n, len(s.buf))], nil
}

// fill reads on, into a buffer that has place for at least n bytes.
func (s *scanner) fill(n int) error {
	size := max(scanBuffer, 2*n)
	if cap(s.buf) < size {
		s.buf = append(make([]byte, 0, size), s.buf...)
	}
	s.buf = s.buf[:copy(s.buf[:cap(s.buf)], s.buf[s.at:])]
	s.at = 0
	got, err := s.f.ReadAt(s.buf[len(s.buf):cap(s.buf)], s.off)
	s.buf = s.buf[:len(s.buf)+got]
	s.off += int64(got)
	if errors.Is(err, io.EOF) {
		s.end, err = true, nil
	}
	return err
}
