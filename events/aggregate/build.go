package aggregate

import "google.golang.org/protobuf/encoding/protowire"

// Builder builds an aggregate. The zero value is an empty one. It keeps
// its memory over [Builder.Reset], so that one that is used again allocates
// nothing. Not safe for concurrent use.
type Builder struct {
	keys    table
	hashes  table
	records []pending
	bytes   int // of the records when written
}

// pending is a record with its indexes in the tables.
type pending struct {
	data []byte
	key  uint32
	hash uint32 // one more than the index, 0 for none
}

// table is one of the string tables: each text once, referred to by its index.
type table struct {
	index   map[string]uint32
	encoded []byte
	last    string // since the same text often repeats at once
	lastAt  uint32
}

// indexOf returns the index that s has or would get, and the bytes that adding it
// costs.
func (t *table) indexOf(s string) (index uint32, cost int) {
	if s == t.last && len(t.index) > 0 {
		return t.lastAt, 0
	}
	if i, ok := t.index[s]; ok {
		t.last, t.lastAt = s, i
		return i, 0
	}
	return uint32(len(t.index)), 1 + protowire.SizeBytes(len(s))
}

// add puts s at an index that indexOf returned for it.
func (t *table) add(field protowire.Number, s string, index uint32) {
	if t.index == nil {
		t.index = make(map[string]uint32)
	}
	t.index[s] = index
	t.last, t.lastAt = s, index
	t.encoded = protowire.AppendTag(t.encoded, field, protowire.BytesType)
	t.encoded = protowire.AppendString(t.encoded, s)
}

func (t *table) reset() {
	clear(t.index)
	t.encoded = t.encoded[:0]
	t.last = ""
}

// Len is how many records were added.
func (b *Builder) Len() int { return len(b.records) }

// Size returns how many bytes the aggregate has now, [Overhead] when empty.
func (b *Builder) Size() int {
	return Overhead + len(b.keys.encoded) + len(b.hashes.encoded) + b.bytes
}

// placement holds the indexes of a record in the tables, and what adding it costs.
type placement struct {
	key, hash         uint32
	keyCost, hashCost int
	record            int
}

func (p placement) cost() int { return p.keyCost + p.hashCost + p.record }

func (b *Builder) placementOf(r Record) placement {
	var p placement
	p.key, p.keyCost = b.keys.indexOf(r.PartitionKey)
	if r.ExplicitHashKey != "" {
		p.hash, p.hashCost = b.hashes.indexOf(r.ExplicitHashKey)
		p.hash++
	}
	p.record = 1 + protowire.SizeBytes(messageSize(pending{r.Data, p.key, p.hash}))
	return p
}

func messageSize(r pending) int {
	n := 1 + protowire.SizeVarint(uint64(r.key)) + 1 + protowire.SizeBytes(len(r.data))
	if r.hash != 0 {
		n += 1 + protowire.SizeVarint(uint64(r.hash-1))
	}
	return n
}

// Add appends r; its index in the aggregate is the Len before. The data is not
// copied: it must stay as it is until the aggregate is written and the builder
// reset.
func (b *Builder) Add(r Record) { b.addAt(r, b.placementOf(r)) }

// AddWithin adds r if the aggregate has at most so many bytes then, and reports
// whether it did.
func (b *Builder) AddWithin(r Record, most int) bool {
	p := b.placementOf(r)
	if b.Size()+p.cost() > most {
		return false
	}
	b.addAt(r, p)
	return true
}

func (b *Builder) addAt(r Record, p placement) {
	if p.keyCost > 0 {
		b.keys.add(fieldPartitionKeys, r.PartitionKey, p.key)
	}
	if p.hashCost > 0 {
		b.hashes.add(fieldExplicitHashKeys, r.ExplicitHashKey, p.hash-1)
	}
	b.records = append(b.records, pending{r.Data, p.key, p.hash})
	b.bytes += p.record
}

// Append writes the aggregate to dst. The builder stays as it is.
func (b *Builder) Append(dst []byte) []byte {
	start := len(dst)
	dst = b.AppendUnsealed(dst)
	Seal(dst[start:])
	return dst
}

// AppendUnsealed is Append with zeros in place of the digest, which [Seal]
// writes: the digests of many aggregates cost less at once.
func (b *Builder) AppendUnsealed(dst []byte) []byte {
	dst = append(dst, magic...)
	dst = append(dst, b.keys.encoded...)
	dst = append(dst, b.hashes.encoded...)
	for i := range b.records {
		dst = b.records[i].append(dst)
	}
	return append(dst, noDigest[:]...)
}

var noDigest [digestSize]byte

const (
	tagRecords = fieldRecords<<3 | byte(protowire.BytesType)
	tagKey     = fieldKeyIndex<<3 | byte(protowire.VarintType)
	tagHash    = fieldHashIndex<<3 | byte(protowire.VarintType)
	tagData    = fieldData<<3 | byte(protowire.BytesType)
)

func (r *pending) append(dst []byte) []byte {
	dst = append(dst, tagRecords)
	dst = protowire.AppendVarint(dst, uint64(messageSize(*r)))
	dst = append(dst, tagKey)
	dst = protowire.AppendVarint(dst, uint64(r.key))
	if r.hash != 0 {
		dst = append(dst, tagHash)
		dst = protowire.AppendVarint(dst, uint64(r.hash-1))
	}
	dst = append(dst, tagData)
	dst = protowire.AppendVarint(dst, uint64(len(r.data)))
	return append(dst, r.data...)
}

// Reset empties the builder and keeps its memory, but none of the records'.
func (b *Builder) Reset() {
	b.keys.reset()
	b.hashes.reset()
	clear(b.records)
	b.records = b.records[:0]
	b.bytes = 0
}
