package dynamodb

import (
	"cmp"
	"encoding/binary"
	"strings"

	"github.com/google/btree"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// keys is a key schema: of the table or of an index. range is "" if there is no sort key.
type keys struct {
	hash, sort         string
	hashKind, sortKind attribute.Kind
}

func (k keys) names() []string {
	if k.sort == "" {
		return []string{k.hash}
	}
	return []string{k.hash, k.sort}
}

// entry is an item in the order of a table or index. Entries are immutable.
//
// The order is that of the hash of the partition key, as a scan of the real service goes, then of
// the sort key; tie tells apart the items that share an index's key.
type entry struct {
	hash uint64
	pk   string
	sk   string
	tie  string
	item attribute.Item
	size int
}

func (e *entry) before(f *entry) bool {
	if e.hash != f.hash {
		return e.hash < f.hash
	}
	return cmp.Or(strings.Compare(e.pk, f.pk), strings.Compare(e.sk, f.sk), strings.Compare(e.tie, f.tie)) < 0
}

type tree = btree.BTreeG[*entry]

func newTree() *tree { return btree.NewG(32, (*entry).before) }

// place finds where an item belongs in the order of the keys; false if it lacks one of them.
func (k keys) place(it attribute.Item) (*entry, bool) {
	pk, ok := it.Get(k.hash)
	if !ok {
		return nil, false
	}
	e := &entry{pk: attribute.KeyText(pk), item: it}
	e.hash = hashOf(e.pk)
	if k.sort != "" {
		sk, ok := it.Get(k.sort)
		if !ok {
			return nil, false
		}
		e.sk = attribute.KeyText(sk)
	}
	return e, true
}

// identity is what tells an item of the table apart from every other.
func (e *entry) identity() string {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(e.pk)))
	return string(n[:]) + e.pk + e.sk
}

// hashOf spreads partition keys evenly over all of uint64 (FNV-1a and a finishing mix), so that
// the segments of a parallel scan are of a size.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
