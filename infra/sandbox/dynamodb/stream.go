package dynamodb

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// stream is the change log of a table. It has one shard, unless SplitShards is called.
type stream struct {
	arn, label, view, table string
	created                 time.Time
	keys                    keys
	most                    int

	mu     sync.Mutex
	next   int64    // the number of the next record
	shards []*shard // parents first
	closed bool
}

// shard is a part of a stream. Changes of an item are in the open one that its key leads to.
type shard struct {
	id, parent string
	children   []*shard // of a shard that was split, and takes no more records
	first      int64    // records before this number are trimmed, or another shard's
	last       int64    // of a closed shard: its last number; else 0
	records    []record
}

// record is one change. old and new are the items before and after, nil if there was none.
type record struct {
	number   int64
	at       time.Time
	key      attribute.Item
	old, new attribute.Item
	by       writer
	size     int
}

// firstNumber makes sequence numbers look and compare like the service's: 21 digits and more.
const firstNumber = "1000000000000"

// sequence is a record's sequence number.
func sequence(number int64) string { return fmt.Sprintf("%s%012d", firstNumber, number) }

func (s *Server) newStream(t *table, view string) *stream {
	now := s.cfg.Now()
	label := streamLabel(now)
	st := &stream{
		arn: t.arn + "/stream/" + label, label: label, view: view, table: t.name, created: now, keys: t.keys,
		most: s.cfg.StreamRecords, next: 1,
	}
	st.open(nil)
	return st
}

// open adds a shard, a child of another if that is not nil. The caller holds mu.
func (st *stream) open(parent *shard) {
	sh := &shard{id: fmt.Sprintf("shardId-%020d-%08x", st.created.UnixMilli()+int64(len(st.shards)), uint32(hashOf(st.arn))), first: st.next}
	if st.shards = append(st.shards, sh); parent != nil {
		sh.parent, parent.children = parent.id, append(parent.children, sh)
	}
}

// SplitShards closes the open shards of a table's stream and gives each so many children, as the
// service does when a partition is split, or with one child every few hours.
func (s *Server) SplitShards(table string, into int) error {
	t, err := s.named(table)
	if err != nil || t.stream == nil {
		return cmp.Or(err, fmt.Errorf("the table %s has no stream", table))
	}
	st := t.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, sh := range slices.Clone(st.shards) {
		if sh.last == 0 && len(sh.children) == 0 {
			sh.last = st.next - 1
			for range into {
				st.open(sh)
			}
		}
	}
	return nil
}

// closedStreams is how many streams of deleted tables can still be read.
const closedStreams = 50

// keepStream lists a stream. The caller holds mu.
func (s *Server) keepStream(st *stream) {
	closed := 0
	for i := len(s.streams) - 1; i >= 0; i-- {
		if !s.streams[i].isClosed() {
			continue
		}
		if closed++; closed > closedStreams {
			s.streams = slices.Delete(slices.Clone(s.streams), i, i+1)
		}
	}
	s.streams = append(s.streams, st)
}

// add appends a change, unless nothing changed.
func (st *stream) add(now time.Time, k keys, old, updated *entry, by writer) {
	if old != nil && updated != nil && (old == updated || attribute.EqualItems(old.item, updated.item)) || old == nil && updated == nil {
		return
	}
	r := record{at: now, by: by}
	if old != nil {
		r.old, r.key = old.item, old.item.Only(k.names())
	}
	if updated != nil {
		r.new, r.key = updated.item, updated.item.Only(k.names())
	}
	r.size = r.key.Size()
	if st.hasOld() && old != nil {
		r.size += old.size
	}
	if st.hasNew() && updated != nil {
		r.size += updated.size
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	r.number = st.next
	st.next++
	sh := st.shards[0]
	if len(sh.children) > 0 {
		h := hashOf(string(r.key.AppendJSON(nil)))
		for n := len(sh.children); n > 0; n = len(sh.children) {
			sh, h = sh.children[h%uint64(n)], h/uint64(n)
		}
	}
	sh.records = append(sh.records, r)
	if n := len(sh.records) - st.most; n > 0 { // their slots go when the slice next grows
		sh.first = sh.records[n-1].number + 1
		clear(sh.records[:n])
		sh.records = sh.records[n:]
	}
}

func (st *stream) hasOld() bool { return st.view == "OLD_IMAGE" || st.view == "NEW_AND_OLD_IMAGES" }
func (st *stream) hasNew() bool { return st.view == "NEW_IMAGE" || st.view == "NEW_AND_OLD_IMAGES" }

func (st *stream) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
	for _, sh := range st.shards {
		if sh.last == 0 && len(sh.children) == 0 {
			sh.last = st.next - 1
		}
	}
}

func (st *stream) isClosed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.closed
}

// ended reports whether the shard takes no more records.
func (st *stream) ended(sh *shard) bool { return st.closed || len(sh.children) > 0 }

// from returns the records of a shard from a number on, as many as fit a page, the number to go on
// with, and whether the shard has come to its end.
func (st *stream) from(sh *shard, number int64, limit, bytes int) (page []record, next int64, ended bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	next = max(number, sh.first)
	i, _ := slices.BinarySearchFunc(sh.records, next, func(r record, n int64) int { return cmp.Compare(r.number, n) })
	for ; i < len(sh.records) && len(page) < limit && bytes > 0; i++ {
		page = append(page, sh.records[i])
		bytes -= sh.records[i].size
		next = sh.records[i].number + 1
	}
	return page, next, st.ended(sh) && i == len(sh.records)
}
