package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/publishers/spool/internal/pages"
)

// InspectOptions bounds what Inspect lists. The zero value is 20 of each, from
// the front.
type InspectOptions struct {
	Entries int    // events that wait; negative: none
	After   uint64 // only those with a greater number
	Refused int    // refused events; negative: none
	Keys    int    // partition keys with the most events; negative: none, and not counted
}

func (o *InspectOptions) setDefaults() {
	for _, n := range []*int{&o.Entries, &o.Refused, &o.Keys} {
		*n = cmp.Or(*n, 20)
	}
}

// Inspection is what is in a spool file.
type Inspection struct {
	Path      string `json:"path"`
	FileBytes int64  `json:"fileBytes"`
	Format    uint64 `json:"format"`
	// Holder says which process has the spool open, empty if none.
	Holder string `json:"holder,omitempty"`
	// Moving says that the file changed while it was read: numbers and lists may
	// be of slightly different times.
	Moving bool `json:"moving,omitempty"`
	// Damage is what is wrong with the file, nil if nothing. Opening it salvages
	// what is readable.
	Damage string `json:"damage,omitempty"`

	Events       uint64        `json:"events"` // that wait
	Bytes        uint64        `json:"bytes"`
	Oldest       time.Time     `json:"oldest,omitzero"` // when the first was enqueued
	OldestAge    time.Duration `json:"oldestAge"`
	Refused      uint64        `json:"refused"`
	RefusedBytes uint64        `json:"refusedBytes"`
	Enqueued     uint64        `json:"enqueued"` // since the file was made
	Forwarded    uint64        `json:"forwarded"`
	// Keys are the partition keys with the most events that wait. KeysExact is
	// false when there are more keys than are counted.
	Keys         []KeyCount `json:"keys,omitempty"`
	DistinctKeys int        `json:"distinctKeys"`
	KeysExact    bool       `json:"keysExact"`

	Entries        []Entry   `json:"entries,omitempty"`
	RefusedEntries []Refused `json:"refusedEntries,omitempty"`
	Salvages       []Salvage `json:"salvages,omitempty"`
}

// KeyCount is how many events of a partition key wait.
type KeyCount struct {
	PartitionKey string `json:"partitionKey"`
	Events       int    `json:"events"`
	Bytes        int    `json:"bytes"`
}

// mostKeys bounds the memory of counting keys.
const mostKeys = 100_000

// Inspect looks into the spool file at path, whether a process has it open or
// not. It changes nothing, takes no lock, and blocks no process. The counts are of
// one instant. The lists are too, unless the file changed while they were read,
// which Moving says; then events may be missing that were forwarded meanwhile.
func Inspect(ctx context.Context, path string, o InspectOptions) (Inspection, error) {
	o.setDefaults()
	in := Inspection{Path: path}
	err := withReader(ctx, path, func(l *reader) error { return in.read(l, o) })
	switch {
	case err == nil:
	case isDamaged(err):
		in.Damage = err.Error()
	default:
		return in, fmt.Errorf("publishers/spool: inspect %s: %w", path, err)
	}
	in.Holder = holder(path)
	if !in.Oldest.IsZero() {
		in.OldestAge = max(time.Since(in.Oldest), 0)
	}
	return in, nil
}

func isDamaged(err error) bool { return errors.Is(err, errDamaged) || isDamage(err) }

// reader reads the file without holding its lock, so the file may change at any
// time.
type reader struct {
	ctx   context.Context
	f     *os.File
	txid  uint64 // of the root with the state
	moved bool   // another root was read since
}

func withReader(ctx context.Context, path string, do func(*reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(&reader{ctx: ctx, f: f})
}

const (
	mostPasses = 1000 // in a row, without progress
	passPause  = 100 * time.Microsecond
)

// retryWhenMoved calls do with the newest root, and repeats it with the then newest one when
// the file changed meanwhile. It gives up after mostPasses in a row without progress.
func (l *reader) retryWhenMoved(do func(file *pages.File, root pages.Meta) (more bool, err error)) error {
	for idle := 0; ; idle++ {
		file, root, err := l.openNewest()
		if err != nil {
			return err
		}
		l.moved = l.moved || root.Txid != l.txid
		more, err := do(file, root)
		switch {
		case !errors.Is(err, pages.ErrMoved):
			return err
		case l.ctx.Err() != nil:
			return l.ctx.Err()
		case more:
			idle = 0
		case idle == mostPasses:
			return err
		}
		_ = backoff.Sleep(l.ctx, passPause)
	}
}

// openNewest returns the file with its newest root.
func (l *reader) openNewest() (*pages.File, pages.Meta, error) {
	info, err := l.f.Stat()
	if err != nil {
		return nil, pages.Meta{}, err
	}
	file := pages.New(l.f, info.Size())
	root, _, err := file.Meta()
	if err != nil && !file.IsBolt() {
		return nil, root, ErrNotSpool
	}
	if err != nil {
		return nil, root, err
	}
	if info, err = l.f.Stat(); err != nil { // the root may need what the file has grown by
		return nil, root, err
	}
	return pages.New(l.f, info.Size()).Live(), root, nil
}

// readState reads the file's state, as of one transaction.
func (l *reader) readState() (x examination, err error) {
	err = l.retryWhenMoved(func(file *pages.File, root pages.Meta) (bool, error) {
		x, l.txid = examination{}, root.Txid
		return false, visitRecords(file, root, bucketState, 0, func(key []byte, r *record) error {
			return x.count(&tally{}, string(bucketState), key, r)
		})
	})
	l.moved = false
	if err == nil && !x.stateFound {
		err = ErrNotSpool
	}
	return x, err
}

func visitRecords(file *pages.File, root pages.Meta, bucket []byte, from uint64, visit func(key []byte, r *record) error) error {
	var first []byte
	if from > 0 {
		first = numberKey(from)
	}
	return file.Bucket(root, string(bucket), first, func(_ string, key, value []byte) error {
		r, err := parseRecord(value)
		if err != nil {
			return fmt.Errorf("bucket %s, key %x: %w", bucket, key, err)
		}
		return visit(key, &r)
	})
}

// visitEvents visits the pending events with numbers below next.
func (l *reader) visitEvents(next uint64, visit func(*record) error) error {
	through := uint64(0)
	return l.retryWhenMoved(func(file *pages.File, root pages.Meta) (bool, error) {
		before := through
		err := visitRecords(file, root, bucketEvents, through+1, func(_ []byte, r *record) error {
			if r.number >= next {
				return pages.Stop
			}
			if err := l.ctx.Err(); err != nil {
				return err
			}
			through = r.number
			return visit(r)
		})
		return through > before, err
	})
}

func (in *Inspection) read(l *reader, o InspectOptions) error {
	x, err := l.readState()
	if info, statErr := l.f.Stat(); statErr == nil {
		in.FileBytes = info.Size()
	}
	if err != nil {
		return err
	}
	in.Format, in.Events, in.Bytes, in.Refused, in.RefusedBytes = x.state.Format, x.state.Events, x.state.Bytes, x.state.Refused, x.state.RefusedB
	in.Enqueued, in.Forwarded, in.Salvages = x.state.Enqueued, x.state.Forwarded, x.reports
	if in.Format > format {
		return fmt.Errorf("%w: format %d, this program knows up to %d", ErrFormat, in.Format, format)
	}
	if in.Events > 0 {
		err = in.readEvents(l, o, x.state.Next)
	}
	if err == nil && in.Refused > 0 && o.Refused > 0 {
		err = in.readRefused(l, o)
	}
	in.Moving = l.moved
	if errors.Is(err, pages.ErrMoved) {
		err = nil // it is said, and the counts are right
	}
	return err
}

func (in *Inspection) readEvents(l *reader, o InspectOptions, next uint64) error {
	counts := make(map[string]*KeyCount)
	in.KeysExact = o.Keys > 0
	err := l.visitEvents(next, func(r *record) error {
		if in.Oldest.IsZero() {
			in.Oldest = r.enqueuedTime()
		}
		if len(in.Entries) < o.Entries && r.number > o.After {
			in.Entries = append(in.Entries, entryOf(r, r.data))
		}
		if o.Keys > 0 {
			in.countKey(counts, r)
		} else if len(in.Entries) >= o.Entries {
			return pages.Stop
		}
		return nil
	})
	in.DistinctKeys = len(counts)
	for _, c := range counts {
		in.Keys = append(in.Keys, *c)
	}
	slices.SortFunc(in.Keys, func(a, b KeyCount) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.PartitionKey, b.PartitionKey))
	})
	in.Keys = slices.Clip(in.Keys[:max(0, min(o.Keys, len(in.Keys)))])
	return err
}

func (in *Inspection) countKey(counts map[string]*KeyCount, r *record) {
	c := counts[string(r.key)]
	if c == nil {
		if len(counts) >= mostKeys {
			in.KeysExact = false
			return
		}
		c = &KeyCount{PartitionKey: string(r.key)}
		counts[c.PartitionKey] = c
	}
	c.Events++
	c.Bytes += len(r.data)
}

// readRefused starts anew when the file changed: refused events may come and go
// anywhere.
func (in *Inspection) readRefused(l *reader, o InspectOptions) error {
	return l.retryWhenMoved(func(file *pages.File, root pages.Meta) (bool, error) {
		in.RefusedEntries = nil
		return false, visitRecords(file, root, bucketRefused, 0, func(_ []byte, r *record) error {
			shown, _, err := refusedOf(r)
			if err != nil {
				return err
			}
			if in.RefusedEntries = append(in.RefusedEntries, shown); len(in.RefusedEntries) >= o.Refused {
				return pages.Stop
			}
			return nil
		})
	})
}
