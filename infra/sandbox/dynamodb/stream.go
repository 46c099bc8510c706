package dynamodb

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// stream is the change log of a table: one shard, which is open as long as the stream is enabled.
// The real service splits and closes shards; readers that follow shards from DescribeStream until
// their iterators end read this one as well.
type stream struct {
	arn, label, view, table string
	created                 time.Time
	keys                    keys
	shard                   string
	most                    int

	mu      sync.Mutex
	first   int64 // number of records[0]
	records []record
	closed  bool
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
	return &stream{
		arn: t.arn + "/stream/" + label, label: label, view: view, table: t.name, created: now, keys: t.keys,
		shard: fmt.Sprintf("shardId-%020d-%08x", now.UnixMilli(), uint32(hashOf(t.id))),
		most:  s.cfg.StreamRecords, first: 1,
	}
}

// closedStreams is how many streams of deleted tables, or that were disabled, can still be read.
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
	r.number = st.first + int64(len(st.records))
	st.records = append(st.records, r)
	if len(st.records) > st.most {
		st.trim(len(st.records) - st.most)
	}
}

// trim drops the oldest records; their slots go when the slice next grows.
func (st *stream) trim(n int) {
	clear(st.records[:n])
	st.records = st.records[n:]
	st.first += int64(n)
}

func (st *stream) hasOld() bool { return st.view == "OLD_IMAGE" || st.view == "NEW_AND_OLD_IMAGES" }
func (st *stream) hasNew() bool { return st.view == "NEW_IMAGE" || st.view == "NEW_AND_OLD_IMAGES" }

func (st *stream) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.closed = true
}

func (st *stream) isClosed() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.closed
}

// next is the number that the next record will have.
func (st *stream) next() int64 { return st.first + int64(len(st.records)) }

// from returns the records from a number on, as many as fit a page, the number to go on with, and
// whether the shard has come to its end.
func (st *stream) from(number int64, limit, bytes int) (page []record, next int64, ended bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	number = max(number, st.first)
	for i := number - st.first; i < int64(len(st.records)) && len(page) < limit && bytes > 0; i++ {
		page = append(page, st.records[i])
		bytes -= st.records[i].size
	}
	next = number + int64(len(page))
	return page, next, st.closed && next >= st.next()
}
