package archive

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"math/big"
	"slices"
	"time"
)

// Range is a part of an archive. The zero value is all of it.
type Range struct {
	// From and Until bound the time of arrival: the first is included, the second is not.
	// Zero: no bound.
	From, Until time.Time
	// FromSequence is the first sequence number, of any shard. "": no bound.
	FromSequence string
	// After has the last sequence number, by shard, that is left out.
	After map[string]string
	// Shards that are read. nil: all.
	Shards []string
}

// Has reports whether a record is in the range.
func (r Range) Has(record Record) bool {
	return !record.Arrived.Before(r.From) && (r.Until.IsZero() || record.Arrived.Before(r.Until)) &&
		pad(record.Sequence) > r.before(record.Shard)
}

// before is what the padded sequence numbers of a shard are greater than.
func (r Range) before(shard string) string {
	before := pad(cmp.Or(r.After[shard], "0"))
	if from := pad(r.FromSequence); from > before {
		n, _ := new(big.Int).SetString(from, 10)
		before = fmt.Sprintf("%0*d", len(from), n.Sub(n, big.NewInt(1)))
	}
	return before
}

func (r Range) hasDay(day string) bool {
	return (r.From.IsZero() || day >= r.From.UTC().Format(dayFormat)) && (r.Until.IsZero() || day <= r.Until.UTC().Format(dayFormat))
}

func (r Range) hasShard(shard string) bool {
	return r.Shards == nil || slices.Contains(r.Shards, shard)
}

// Reader gives the records of an archive, each once, in the order of their sequence numbers:
// see [Merge]. It holds an object of each shard in memory, and as many more as overlap. Close
// it. Not safe for concurrent use.
type Reader struct {
	within Range
	merge  *Merge
	shards []*shardCursor
}

// NewReader finds the days and shards of a part of an archive.
func NewReader(ctx context.Context, store Store, within Range) (*Reader, error) {
	days, err := days(ctx, store, eventsFolder, within)
	if err != nil {
		return nil, err
	}
	r := &Reader{within: within, merge: NewMerge()}
	for _, shard := range shardsOf(days) {
		c := &shardCursor{store: store, after: within.before(shard), merge: NewMerge()}
		for _, d := range days {
			if slices.Contains(d.shards, shard) {
				c.folders = append(c.folders, partition(eventsFolder, d.day, shard))
			}
		}
		r.shards = append(r.shards, c)
		r.merge.Add(c)
	}
	return r, nil
}

// Next returns the next record, or io.EOF. An error that is [ErrCorrupt] names the object.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	for {
		record, err := r.merge.Next(ctx)
		if err != nil || r.within.Has(record) {
			return record, err
		}
	}
}

// Close ends the reader.
func (r *Reader) Close() {
	for _, c := range r.shards {
		c.close()
	}
}

// day has the shards that have objects on it.
type day struct {
	day    string
	shards []string
}

func days(ctx context.Context, store Store, folder string, within Range) ([]day, error) {
	names, err := store.Folders(ctx, folder+"/")
	if err != nil {
		return nil, err
	}
	var all []day
	for _, name := range names {
		d := day{day: folderValue(name, "day")}
		if d.day == "" || !within.hasDay(d.day) {
			continue
		}
		shards, err := store.Folders(ctx, folder+"/"+name)
		if err != nil {
			return nil, err
		}
		for _, s := range shards {
			if shard := folderValue(s, "shard"); shard != "" && within.hasShard(shard) {
				d.shards = append(d.shards, shard)
			}
		}
		all = append(all, d)
	}
	return all, nil
}

func shardsOf(days []day) []string {
	var all []string
	for _, d := range days {
		all = append(all, d.shards...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// shardCursor gives the records of a shard. It opens an object when its turn comes.
type shardCursor struct {
	store    Store
	after    string   // of which objects are left out that end there
	folders  []string // whose listing has not begun
	listings []*listing
	merge    *Merge // of the objects that are open
}

// Next returns the next record, or io.EOF.
func (c *shardCursor) Next(ctx context.Context) (Record, error) {
	for {
		next, err := c.nextListing(ctx)
		if err != nil {
			return Record{}, err
		}
		first, err := c.merge.first(ctx)
		if err != nil {
			return Record{}, err
		}
		if next == nil || first != "" && first < next.object.first {
			return c.merge.Next(ctx)
		}
		if next.object.last > c.after {
			o, err := openObject(ctx, c.store, next.object.name())
			if err != nil {
				return Record{}, err
			}
			c.merge.Add(o)
		}
		if err := next.advance(); err != nil {
			return Record{}, err
		}
	}
}

// nextListing is the one with the earliest object. That of the day after is looked at, too:
// times of arrival are approximate, and need not grow where a day ends.
func (c *shardCursor) nextListing(ctx context.Context) (*listing, error) {
	c.listings = slices.DeleteFunc(c.listings, func(l *listing) bool { return l.ended })
	for len(c.listings) < 2 && len(c.folders) > 0 {
		l := newListing(ctx, c.store, c.folders[0])
		c.folders = c.folders[1:]
		if err := l.advance(); err != nil {
			return nil, err
		}
		if !l.ended {
			c.listings = append(c.listings, l)
		}
	}
	if len(c.listings) == 0 {
		return nil, nil
	}
	return slices.MinFunc(c.listings, func(a, b *listing) int { return cmp.Compare(a.object.first, b.object.first) }), nil
}

func (c *shardCursor) close() {
	for _, l := range c.listings {
		l.stop()
	}
}

// listing is the names of a folder, one after the other.
type listing struct {
	pull   func() (string, error, bool)
	stop   func()
	object object
	ended  bool
}

func newListing(ctx context.Context, store Store, folder string) *listing {
	pull, stop := iter.Pull2(store.List(ctx, folder, ""))
	return &listing{pull: pull, stop: stop}
}

func (l *listing) advance() error {
	name, err, ok := l.pull()
	if !ok {
		l.ended = true
		l.stop()
		return nil
	}
	if err == nil {
		l.object, err = parseObject(name)
	}
	return err
}

// All gives what a cursor gives, until its first error.
func All(ctx context.Context, c Cursor) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			r, err := c.Next(ctx)
			if err == io.EOF || !yield(r, err) || err != nil {
				return
			}
		}
	}
}
