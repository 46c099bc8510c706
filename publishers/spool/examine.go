package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/banyan-fig/banyan/publishers/spool/internal/pages"
)

// examination is what a file was found to be.
type examination struct {
	fileBytes  int64
	id         uint64
	generation uint64
	state      state
	oldest     time.Time // when the first event that waits was enqueued
	reports    []Salvage
	damage     error // why bbolt must not open it, nil if it may
	stateFound bool
	meta       pages.Meta // the newest root
	bothRoots  bool       // both are whole, so it is surely the newest
}

// examine reads all of a file and changes nothing. The error is one of reading,
// or ErrFormat or ErrNotSpool; what is wrong inside is examination.damage.
func examine(path string) (*examination, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file", ErrNotSpool, path)
	}
	x := &examination{fileBytes: info.Size()}
	file := pages.New(f, info.Size())
	x.meta, x.bothRoots, err = file.Meta()
	if err == nil {
		err = x.walk(file, x.meta)
	}
	if err == nil && !x.bothRoots {
		err = x.checkOtherRoot(f)
	}
	switch {
	case err == nil, errors.Is(err, errDamaged):
		x.damage = err
	case isDamage(err):
		x.damage = fmt.Errorf("%w: %w", errDamaged, err)
	default:
		return nil, err
	}
	return x, x.checkReadable(path, f, file)
}

// checkOtherRoot returns an error if the damaged root was the newer one, of
// a transaction whose events may have been acknowledged.
func (x *examination) checkOtherRoot(f *os.File) error {
	last, found, err := findState(f)
	if err == nil && found && last.file == x.id && last.generation > x.generation {
		err = fmt.Errorf("%w: the root of the last transaction is not whole", errDamaged)
	}
	return err
}

func isDamage(err error) bool {
	var d *pages.Damage
	return errors.As(err, &d)
}

// checkReadable refuses files of another program, and of a later format.
func (x *examination) checkReadable(path string, f *os.File, file *pages.File) error {
	if x.stateFound && x.state.Format > format {
		return fmt.Errorf("%w: %s has format %d, this program knows up to %d: use the program that wrote it, or a later one", ErrFormat, path, x.state.Format, format)
	}
	if x.damage == nil || x.stateFound || file.IsBolt() && !errors.Is(x.damage, errOtherDatabase) {
		return nil
	}
	if _, ok, err := findState(f); ok || err != nil {
		return err
	}
	return fmt.Errorf("%w: %s (%d bytes): if it is to be one, move it away first", ErrNotSpool, path, x.fileBytes)
}

var errOtherDatabase = fmt.Errorf("%w: a database of another program", errDamaged)

// tally is what was counted while reading.
type tally struct{ events, bytes, refused, refusedBytes uint64 }

func (x *examination) walk(file *pages.File, meta pages.Meta) error {
	var t tally
	err := file.Walk(meta, func(bucket string, key, value []byte) error {
		r, err := parseRecord(value)
		if err != nil {
			return fmt.Errorf("bucket %.40q, key %x: %w", bucket, key, err)
		}
		if x.id == 0 {
			x.id = r.file
		}
		if r.file != x.id {
			return fmt.Errorf("%w: bucket %q, key %x: a record of another file", errDamaged, bucket, key)
		}
		return x.count(&t, bucket, key, &r)
	})
	if err != nil {
		return x.withOwner(err, t)
	}
	if !x.stateFound {
		return x.withOwner(fmt.Errorf("%w: it has no state", errDamaged), t)
	}
	counted := tally{x.state.Events, x.state.Bytes, x.state.Refused, x.state.RefusedB}
	if t != counted {
		return fmt.Errorf("%w: it holds %d events (%d bytes) and %d refused (%d bytes), and should hold %d (%d) and %d (%d)", errDamaged,
			t.events, t.bytes, t.refused, t.refusedBytes, counted.events, counted.bytes, counted.refused, counted.refusedBytes)
	}
	return nil
}

// withOwner marks err with errOtherDatabase when nothing in the file was written by a spool.
func (x *examination) withOwner(err error, t tally) error {
	if x.id == 0 && t == (tally{}) && !isDamage(err) {
		return fmt.Errorf("%w: %w", errOtherDatabase, err)
	}
	return err
}

func (x *examination) count(t *tally, bucket string, key []byte, r *record) error {
	inPlace := len(key) == 8 && binary.BigEndian.Uint64(key) == r.number
	switch {
	case bucket == string(bucketEvents) && r.kind == kindEvent && inPlace:
		if t.events == 0 {
			x.oldest = r.enqueuedTime()
		}
		t.events++
		t.bytes += uint64(r.size())
		return nil
	case bucket == string(bucketRefused) && r.kind == kindRefused && inPlace:
		t.refused++
		t.refusedBytes += uint64(r.size())
		_, err := parseRefusal(r.data)
		return err
	case bucket == string(bucketState) && r.kind == kindState && bytes.Equal(key, keyState):
		x.generation, x.stateFound = r.generation, true
		var err error
		x.state, err = parseState(r.data)
		return err
	case bucket == string(bucketState) && r.kind == kindReport:
		var report Salvage
		if err := json.Unmarshal(r.data, &report); err != nil {
			return fmt.Errorf("%w: a report: %w", errDamaged, err)
		}
		x.reports = append(x.reports, report)
		return nil
	}
	return fmt.Errorf("%w: bucket %.40q, key %x: a record of kind %d does not belong there", errDamaged, bucket, key, r.kind)
}
