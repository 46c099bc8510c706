package aggregate

import (
	"crypto/md5" //nolint:gosec // the format says MD5, as a checksum

	"google.golang.org/protobuf/encoding/protowire"
)

// Builder puts an aggregate together. The zero value is an empty one. Not safe
// for concurrent use.
type Builder struct {
	keys    table
	hashes  table
	records []byte
	n       int
}

// table is one of the string tables: each text once, referred to by its index.
type table struct {
	index   map[string]uint64
	encoded []byte
}

// find returns the index that s has or would get, and the bytes that adding it
// costs.
func (t *table) find(s string) (index uint64, cost int) {
	if i, ok := t.index[s]; ok {
		return i, 0
	}
	return uint64(len(t.index)), 1 + protowire.SizeBytes(len(s))
}

func (t *table) add(field protowire.Number, s string) uint64 {
	i, cost := t.find(s)
	if cost == 0 {
		return i
	}
	if t.index == nil {
		t.index = make(map[string]uint64)
	}
	t.index[s] = i
	t.encoded = protowire.AppendTag(t.encoded, field, protowire.BytesType)
	t.encoded = protowire.AppendString(t.encoded, s)
	return i
}

func (t *table) reset() {
	clear(t.index)
	t.encoded = t.encoded[:0]
}

// Len is how many records were added.
func (b *Builder) Len() int { return b.n }

// Size is how many bytes the aggregate has as it stands, [Overhead] when empty.
func (b *Builder) Size() int {
	return Overhead + len(b.keys.encoded) + len(b.hashes.encoded) + len(b.records)
}

// Has tells whether a record with that partition key was added.
func (b *Builder) Has(partitionKey string) bool {
	_, ok := b.keys.index[partitionKey]
	return ok
}

// SizeWith is how many bytes the aggregate would have with r added.
func (b *Builder) SizeWith(r Record) int {
	key, keyCost := b.keys.find(r.PartitionKey)
	size := b.Size() + keyCost
	hash, hashCost := uint64(0), 0
	if r.ExplicitHashKey != "" {
		hash, hashCost = b.hashes.find(r.ExplicitHashKey)
		size += hashCost
	}
	return size + 1 + protowire.SizeBytes(recordSize(r, key, hash))
}

func recordSize(r Record, key, hash uint64) int {
	n := 1 + protowire.SizeVarint(key) + 1 + protowire.SizeBytes(len(r.Data))
	if r.ExplicitHashKey != "" {
		n += 1 + protowire.SizeVarint(hash)
	}
	return n
}

// Add appends r; its index in the aggregate is the Len before. The data is
// copied.
func (b *Builder) Add(r Record) {
	key, hash := b.keys.add(fieldPartitionKeys, r.PartitionKey), uint64(0)
	if r.ExplicitHashKey != "" {
		hash = b.hashes.add(fieldExplicitHashKeys, r.ExplicitHashKey)
	}
	m := protowire.AppendTag(b.records, fieldRecords, protowire.BytesType)
	m = protowire.AppendVarint(m, uint64(recordSize(r, key, hash)))
	m = protowire.AppendTag(m, fieldKeyIndex, protowire.VarintType)
	m = protowire.AppendVarint(m, key)
	if r.ExplicitHashKey != "" {
		m = protowire.AppendTag(m, fieldHashIndex, protowire.VarintType)
		m = protowire.AppendVarint(m, hash)
	}
	m = protowire.AppendTag(m, fieldData, protowire.BytesType)
	b.records = protowire.AppendBytes(m, r.Data)
	b.n++
}

// Append writes the aggregate to dst. The builder stays as it is.
func (b *Builder) Append(dst []byte) []byte {
	dst = append(dst, magic...)
	start := len(dst)
	dst = append(dst, b.keys.encoded...)
	dst = append(dst, b.hashes.encoded...)
	dst = append(dst, b.records...)
	digest := md5.Sum(dst[start:]) //nolint:gosec // as above
	return append(dst, digest[:]...)
}

// Reset empties the builder and keeps its memory.
func (b *Builder) Reset() {
	b.keys.reset()
	b.hashes.reset()
	b.records = b.records[:0]
	b.n = 0
}
