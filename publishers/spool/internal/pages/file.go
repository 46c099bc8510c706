package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

const (
	headerSize  = 16 // of a page
	elementSize = 16 // of an entry's descriptor, in leaves and in branches alike
	bucketSize  = 16 // of a bucket's head, before an inline page

	magic   = 0xED0CDAED
	version = 2

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04

	metaSize = 64 // with its checksum, which is the last 8 bytes
)

var order = binary.NativeEndian

// Damage is what is wrong with a file, and where.
type Damage struct {
	Page uint64
	What string
}

// Error names the page.
func (d *Damage) Error() string { return fmt.Sprintf("page %d: %s", d.Page, d.What) }

func damaged(page uint64, what string, args ...any) *Damage {
	return &Damage{page, fmt.Sprintf(what, args...)}
}

// Meta is one of the two roots of a file: the state after one transaction.
type Meta struct {
	Txid uint64 // of the transaction, from 0
	Root uint64 // page of the root bucket
	High uint64 // pages in use are below this one
}

// ErrMoved is returned by a walk over a file that was changed meanwhile.
var ErrMoved = errors.New("the file was changed while it was read")

// File is a database file. Its methods may be used at the same time.
type File struct {
	r        io.ReaderAt
	size     int64
	pageSize int
	live     bool
}

// Live declares that another process may be writing the file. A page that a root refers to
// may be written again by the second transaction after that one, which begins when
// the first has written its root. So a page is unchanged as long as the
// root is the newest. A walk checks this after each page, and ends with
// ErrMoved, before it visits anything of the page, when there is a newer one.
func (f *File) Live() *File {
	f.live = true
	return f
}

func (f *File) isNewest(m Meta) bool {
	now, _, err := f.Meta()
	return err == nil && now.Txid == m.Txid
}

// New opens a file of size bytes. It reads nothing but the page size.
func New(r io.ReaderAt, size int64) *File {
	f := &File{r: r, size: size, pageSize: os.Getpagesize()}
	for _, at := range metaOffsets() {
		if b, ok := f.metaAt(at); ok {
			f.pageSize = int(order.Uint32(b[8:]))
			break
		}
	}
	return f
}

// metaOffsets returns where a root can be: at the start, and behind a page of any
// size that there is.
func metaOffsets() []int64 {
	offsets := []int64{0}
	for at := int64(1 << 10); at <= 16<<20; at <<= 1 {
		offsets = append(offsets, at)
	}
	return offsets
}

// metaAt returns the root at an offset; ok is false if it is damaged.
func (f *File) metaAt(at int64) ([]byte, bool) {
	b := make([]byte, metaSize)
	if at+headerSize+metaSize > f.size {
		return b, false
	}
	if _, err := f.r.ReadAt(b, at+headerSize); err != nil {
		return b, false
	}
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	pageSize := order.Uint32(b[8:])
	return b, order.Uint32(b) == magic && order.Uint32(b[4:]) == version &&
		order.Uint64(b[metaSize-8:]) == h.Sum64() && pageSize >= 512 && pageSize&(pageSize-1) == 0
}

// IsBolt reports whether the file begins like a bbolt database, be it a damaged
// one.
func (f *File) IsBolt() bool {
	var b [4]byte
	for _, at := range metaOffsets() {
		if _, err := f.r.ReadAt(b[:], at+headerSize); err == nil && order.Uint32(b[:]) == magic {
			return true
		}
	}
	return false
}

// Meta returns the root that bbolt would use: the one with the higher number, of
// those that are whole; and whether both are.
func (f *File) Meta() (newest Meta, both bool, err error) {
	found := 0
	for page := range uint64(2) {
		b, ok := f.metaAt(int64(page) * int64(f.pageSize))
		if !ok {
			continue
		}
		m := Meta{Txid: order.Uint64(b[48:]), Root: order.Uint64(b[16:]), High: order.Uint64(b[40:])}
		if found == 0 || m.Txid > newest.Txid {
			newest = m
		}
		found++
	}
	if found == 0 {
		return Meta{}, false, damaged(0, "no valid root, neither here nor in page 1")
	}
	return newest, found == 2, nil
}

// page is a page with all that belongs to it, as it was read.
type page struct {
	id    uint64
	flags uint16
	count int
	span  uint64 // how many pages it takes
	b     []byte
}

// read reads a page that must lie below high.
func (f *File) read(id, high uint64) (page, error) {
	var head [headerSize]byte
	at := int64(id) * int64(f.pageSize)
	if id >= high || at+int64(f.pageSize) > f.size {
		return page{}, damaged(id, "a page refers to it, but it lies behind the end of the file (%d bytes, %d pages in use)", f.size, high)
	}
	if _, err := f.r.ReadAt(head[:], at); err != nil {
		return page{}, fmt.Errorf("read page %d: %w", id, err)
	}
	p := parseHeader(head[:])
	if self := order.Uint64(head[:]); self != id {
		return page{}, damaged(id, "its header has the number of page %d", self)
	}
	p.span = uint64(order.Uint32(head[12:])) + 1
	if id+p.span > high || at+int64(p.span)*int64(f.pageSize) > f.size {
		return page{}, damaged(id, "with its %d pages it ends behind the end of the file", p.span)
	}
	p.b = make([]byte, int64(p.span)*int64(f.pageSize))
	if _, err := f.r.ReadAt(p.b, at); err != nil {
		return page{}, fmt.Errorf("read page %d: %w", id, err)
	}
	return p, nil
}

func parseHeader(b []byte) page {
	return page{id: order.Uint64(b), flags: order.Uint16(b[8:]), count: int(order.Uint16(b[10:]))}
}

// element is an entry of a page.
type element struct {
	key, value []byte
	bucket     bool
	child      uint64 // of a branch
}

// element returns the entry number i, which must lie within the page and behind
// the descriptors.
func (p *page) element(i int) (element, error) {
	at := headerSize + i*elementSize
	if headerSize+p.count*elementSize > len(p.b) {
		return element{}, damaged(p.id, "%d entries do not fit into it", p.count)
	}
	d := p.b[at:]
	e := element{}
	var pos, keySize, valueSize uint32
	if p.flags == flagLeaf {
		e.bucket = order.Uint32(d)&1 != 0
		pos, keySize, valueSize = order.Uint32(d[4:]), order.Uint32(d[8:]), order.Uint32(d[12:])
	} else {
		pos, keySize, e.child = order.Uint32(d), order.Uint32(d[4:]), order.Uint64(d[8:])
	}
	start := int64(at) + int64(pos)
	middle := start + int64(keySize)
	end := middle + int64(valueSize)
	if int64(pos) < int64(p.count-i)*elementSize || end > int64(len(p.b)) {
		return element{}, damaged(p.id, "entry %d of %d lies outside of it", i, p.count)
	}
	e.key, e.value = p.b[start:middle:middle], p.b[middle:end:end]
	return e, nil
}
