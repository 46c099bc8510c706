package pages

import "bytes"

// mostDepth bounds the height of a tree. A real one of that height would hold
// more than any disk.
const mostDepth = 32

// Stop is what a [Visit] returns to end a walk without an error.
var Stop = damaged(0, "stop") //nolint:errname // a signal, never seen by anybody

// Visit is given an entry of a bucket of the top level. The bytes are its own
// to keep.
type Visit func(bucket string, key, value []byte) error

// Walk visits the entries below a root in the order of buckets and keys, and
// ends at the first damage, with a [*Damage]: it accepts what bbolt can work
// with and nothing else. Buckets inside of buckets count as damage.
func (f *File) Walk(m Meta, visit Visit) error {
	if err := f.checkRoot(m); err != nil {
		return err
	}
	w := walker{f: f, root: m, seen: make([]uint64, m.High/64+1), visit: visit}
	return w.walk()
}

// Bucket visits the entries of one bucket of the top level whose keys are not
// less than from, without reading what is before them.
func (f *File) Bucket(m Meta, name string, from []byte, visit Visit) error {
	if err := f.checkRoot(m); err != nil {
		return err
	}
	w := walker{f: f, root: m, only: name, from: from, visit: visit}
	return w.walk()
}

// checkRoot refuses a root that would make page numbers overflow. Free pages at
// the end may be missing from the file.
func (f *File) checkRoot(m Meta) error {
	if m.High > uint64(f.size)/uint64(f.pageSize)*2+1<<16 || m.Root < 2 {
		return damaged(0, "%d pages are said to be in use, with the root in page %d, of a file of %d bytes", m.High, m.Root, f.size)
	}
	return nil
}

type walker struct {
	f      *File
	root   Meta
	seen   []uint64 // one bit a page; nil: not checked
	only   string   // the bucket to visit, all if empty
	from   []byte   // the first key to visit in it
	bucket string
	visit  Visit
}

type entryFunc func(e element) error

func (w *walker) walk() error {
	err := w.walkTree(w.root.Root, nil, nil, 0, w.visitBucket)
	if err == error(Stop) {
		return nil
	}
	return err
}

// walkTree walks the pages from id on. Keys must be within least and below.
func (w *walker) walkTree(id uint64, least, below []byte, depth int, entry entryFunc) error {
	if depth > mostDepth {
		return damaged(id, "the tree is higher than %d", mostDepth)
	}
	p, err := w.f.read(id, w.root.High)
	if w.f.live && !w.f.isNewest(w.root) {
		return ErrMoved
	}
	if err != nil {
		return err
	}
	if err := w.markSeen(&p); err != nil {
		return err
	}
	switch p.flags {
	case flagLeaf:
		return w.walkLeaf(&p, least, below, entry)
	case flagBranch:
		return w.walkBranch(&p, least, below, depth, entry)
	}
	return damaged(id, "it is neither branch nor leaf (%#x)", p.flags)
}

// markSeen fails if the page was seen before.
func (w *walker) markSeen(p *page) error {
	for id := p.id; w.seen != nil && id < p.id+p.span; id++ {
		if w.seen[id/64]&(1<<(id%64)) != 0 {
			return damaged(id, "two pages refer to it")
		}
		w.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

func (w *walker) walkLeaf(p *page, least, below []byte, entry entryFunc) error {
	for i := range p.count {
		e, err := p.element(i)
		if err != nil {
			return err
		}
		if err := checkOrder(p, i, e.key, least, below); err != nil {
			return err
		}
		if err := entry(e); err != nil {
			return err
		}
		least = e.key
	}
	return nil
}

func (w *walker) walkBranch(p *page, least, below []byte, depth int, entry entryFunc) error {
	if p.count == 0 {
		return damaged(p.id, "a branch without entries")
	}
	e, err := p.element(0)
	for i := range p.count {
		if err != nil {
			return err
		}
		if err := checkOrder(p, i, e.key, least, below); err != nil {
			return err
		}
		this, limit := e, below
		if i+1 < p.count {
			if e, err = p.element(i + 1); err == nil {
				limit = e.key
			}
		}
		least = this.key
		if i+1 < p.count && w.bucket != "" && bytes.Compare(limit, w.from) <= 0 {
			continue // all of it is before
		}
		if err := w.walkTree(this.child, this.key, limit, depth+1, entry); err != nil {
			return err
		}
	}
	return nil
}

// checkOrder returns an error unless the key of entry i is greater than the
// one before it, or, for the first, not less than the key in the parent.
func checkOrder(p *page, i int, key, least, below []byte) error {
	c := bytes.Compare(key, least)
	if least != nil && (c < 0 || c == 0 && i > 0) || below != nil && bytes.Compare(key, below) >= 0 {
		return damaged(p.id, "the key of entry %d is out of order", i)
	}
	return nil
}

// visitBucket walks the bucket that is entry e of the root.
func (w *walker) visitBucket(e element) error {
	if !e.bucket || len(e.value) < bucketSize {
		return damaged(0, "%.40q at the top is not a bucket", e.key)
	}
	if w.only != "" && w.only != string(e.key) {
		return nil
	}
	w.bucket = string(e.key)
	defer func() { w.bucket = "" }()
	if root := order.Uint64(e.value); root != 0 {
		return w.walkTree(root, nil, nil, 0, w.visitEntry)
	}
	if len(e.value) < bucketSize+headerSize {
		return damaged(0, "bucket %q is cut off", e.key)
	}
	inline := parseHeader(e.value[bucketSize:])
	inline.b = e.value[bucketSize:]
	if inline.flags != flagLeaf {
		return damaged(0, "bucket %q is not a leaf", e.key)
	}
	return w.walkLeaf(&inline, nil, nil, w.visitEntry)
}

func (w *walker) visitEntry(e element) error {
	if e.bucket {
		return damaged(0, "bucket %q has a bucket inside", w.bucket)
	}
	if bytes.Compare(e.key, w.from) < 0 {
		return nil
	}
	return w.visit(w.bucket, e.key, e.value)
}
