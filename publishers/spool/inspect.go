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
		orDefault(n, 20)
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
	Oldest       time.Time     `json:"oldest,omitzero"` // when the first was taken in
	OldestAge    time.Duration `json:"oldestAge"`
	Refused      uint64        `json:"refused"`
	RefusedBytes uint64        `json:"refusedBytes"`
	TakenIn      uint64        `json:"takenIn"` // since the file was made
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
// not. It changes nothing, takes no lock, and holds nobody up. While a process is
// writing, it starts anew a few times to see the file at one instant, and says so
// where it did not.
func Inspect(ctx context.Context, path string, o InspectOptions) (Inspection, error) {
	o.setDefaults()
	var in Inspection
	moved, err := read(ctx, path, func(l *look) error {
		in = Inspection{Path: path, FileBytes: l.bytes}
		return in.read(l, o)
	})
	in.Moving = moved
	switch {
	case err == nil, moved && isDamaged(err): // half of it was overwritten while it was read
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

// Read gives visit every event that waits in the spool file at path, in order,
// with its data, until visit returns an error. As Inspect, it may be used while a
// process has the file; then events that are passed on meanwhile may be given or
// not.
func Read(ctx context.Context, path string, visit func(e Entry, data []byte) error) error {
	through := uint64(0)
	_, err := read(ctx, path, func(l *look) error {
		return l.bucket(string(bucketEvents), func(r *record) error {
			if r.number <= through {
				return nil // of an attempt before
			}
			if err := visit(entryOf(r, r.data), r.data); err != nil {
				return visitError{err}
			}
			through = r.number
			return nil
		})
	})
	var own visitError
	if errors.As(err, &own) {
		return own.error
	}
	if err != nil {
		return fmt.Errorf("publishers/spool: read %s: %w", path, err)
	}
	return nil
}

type visitError struct{ error }

// look is one attempt to read a file that may be changing.
type look struct {
	ctx   context.Context
	file  *pages.File
	meta  pages.Meta
	bytes int64
}

const attempts = 6

// read lets do have a look until the file stood still meanwhile, or the last
// attempt was had, and returns whether it moved in that.
func read(ctx context.Context, path string, do func(*look) error) (moved bool, err error) {
	for attempt := 1; ; attempt++ {
		moved, err = readOnce(ctx, path, do)
		var own visitError
		if !moved || attempt == attempts || ctx.Err() != nil || errors.As(err, &own) {
			return moved, err
		}
		sleep(ctx, time.Duration(attempt)*5*time.Millisecond)
	}
}

func readOnce(ctx context.Context, path string, do func(*look) error) (moved bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	meta, err := currentRoot(f)
	if err != nil {
		return false, err
	}
	info, err := f.Stat() // after the root, which may need what the file has grown by
	if err != nil {
		return false, err
	}
	file := pages.New(f, info.Size())
	err = do(&look{ctx, file, meta, info.Size()})
	after, _, metaErr := file.Meta()
	return metaErr == nil && after.Txid != meta.Txid, err
}

func currentRoot(f *os.File) (pages.Meta, error) {
	info, err := f.Stat()
	if err != nil {
		return pages.Meta{}, err
	}
	file := pages.New(f, info.Size())
	meta, _, err := file.Meta()
	if err != nil && !file.IsBolt() {
		err = ErrNotSpool
	}
	return meta, err
}

// bucket visits the records of a bucket.
func (l *look) bucket(name string, visit func(*record) error) error {
	return l.file.Bucket(l.meta, name, func(_ string, key, value []byte) error {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		r, err := parseRecord(value)
		if err != nil {
			return fmt.Errorf("bucket %s, key %x: %w", name, key, err)
		}
		return visit(&r)
	})
}

func (in *Inspection) read(l *look, o InspectOptions) error {
	x := examination{}
	var t tally
	err := l.bucket(string(bucketState), func(r *record) error {
		key := keyState
		if r.kind == kindReport {
			key = nil
		}
		return x.count(&t, string(bucketState), key, r)
	})
	if err != nil {
		return err
	}
	if !x.stateFound {
		return ErrNotSpool
	}
	in.Format, in.Events, in.Bytes, in.Refused, in.RefusedBytes = x.state.Format, x.state.Events, x.state.Bytes, x.state.Refused, x.state.RefusedB
	in.TakenIn, in.Forwarded, in.Salvages = x.state.TakenIn, x.state.Forwarded, x.reports
	if in.Format > format {
		return fmt.Errorf("%w: format %d, this program knows up to %d", ErrFormat, in.Format, format)
	}
	if err := in.readEvents(l, o); err != nil {
		return err
	}
	return in.readRefused(l, o)
}

func (in *Inspection) readEvents(l *look, o InspectOptions) error {
	counts := make(map[string]*KeyCount)
	in.KeysExact = o.Keys > 0
	err := l.bucket(string(bucketEvents), func(r *record) error {
		if in.Oldest.IsZero() {
			in.Oldest = r.takenAt()
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

func (in *Inspection) readRefused(l *look, o InspectOptions) error {
	if o.Refused <= 0 {
		return nil
	}
	return l.bucket(string(bucketRefused), func(r *record) error {
		shown, _, err := refusedOf(r)
		if err != nil {
			return err
		}
		if in.RefusedEntries = append(in.RefusedEntries, shown); len(in.RefusedEntries) >= o.Refused {
			return pages.Stop
		}
		return nil
	})
}
