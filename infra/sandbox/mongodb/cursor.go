package mongodb

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/stream"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

const (
	maxCursors      = 10_000
	sweepCursors    = 100 // from so many on, idle ones are looked for
	cursorIdle      = 10 * time.Minute
	defaultBatch    = 101
	maxBatchBytes   = value.MaxDocumentSize
	defaultAwaiting = time.Second
)

// cursor is an open result: documents that are already found, or a stream.
type cursor struct {
	mu     sync.Mutex
	id     int64
	ns     store.Namespace
	docs   []D
	stream *stream.Stream
	at     store.Timestamp // not zero: told as atClusterTime
	from   store.Info
	used   time.Time
}

type cursors struct {
	mu   sync.Mutex
	byID map[int64]*cursor
}

func newCursors() *cursors { return &cursors{byID: map[int64]*cursor{}} }

func (c *cursors) add(one *cursor, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.byID) >= sweepCursors {
		for id, old := range c.byID {
			if now.Sub(old.used) > cursorIdle {
				delete(c.byID, id)
			}
		}
	}
	if len(c.byID) >= maxCursors {
		return failure.New(failure.Code(146), "too many open cursors in the sandbox: %d", len(c.byID))
	}
	for one.id == 0 || c.byID[one.id] != nil {
		one.id = rand.Int64()
	}
	one.used = now
	c.byID[one.id] = one
	return nil
}

func (c *cursors) get(id int64, now time.Time) *cursor {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.byID[id]
	if one != nil {
		one.used = now
	}
	return one
}

func (c *cursors) kill(id int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.byID[id]
	delete(c.byID, id)
	return ok
}

// batchSize reads a batch size: the default is 101 for a first batch; 0 asks for
// none.
func (r *request) batchSize(d D) int {
	n, ok := value.Integer(value.Field(d, "batchSize"))
	if !ok {
		return defaultBatch
	}
	return int(min(n, 1<<31))
}

// take gives the next documents of a cursor.
func (c *cursor) take(limit int) []D {
	n, size := 0, 0
	for n < len(c.docs) && n < limit {
		size += len(c.docs[n])
		if n > 0 && size > maxBatchBytes {
			break
		}
		n++
	}
	batch := c.docs[:n]
	c.docs = c.docs[n:]
	return batch
}

func (r *request) openCursor(out *reply, ns store.Namespace, f found, snapshot bool, batch int) error {
	c := &cursor{ns: ns, docs: f.docs, from: f.from}
	if snapshot {
		c.at = f.at
	}
	first := c.take(batch)
	if value.Truthy(r.field("singleBatch")) {
		c.docs = nil
	}
	if len(c.docs) > 0 {
		if err := r.server.cursors.add(c, r.engine.Wall()); err != nil {
			return err
		}
	}
	c.write(out, "firstBatch", first)
	return nil
}

func (c *cursor) write(out *reply, name string, batch []D) {
	d := newReply()
	at, list := bsoncore.AppendArrayStart(nil)
	for i, one := range batch {
		list = bsoncore.AppendDocumentElement(list, strconv.Itoa(i), one)
	}
	list, _ = bsoncore.AppendArrayEnd(list, at)
	d.out = bsoncore.AppendArrayElement(d.out, name, list)
	if c.stream != nil {
		d.add("postBatchResumeToken", value.Document(c.stream.Token()))
	}
	d.out = bsoncore.AppendInt64Element(d.out, "id", c.id)
	d.string("ns", c.ns.String())
	if c.at != (store.Timestamp{}) {
		d.out = bsoncore.AppendTimestampElement(d.out, "atClusterTime", c.at.T, c.at.I)
	}
	out.add("cursor", value.Document(d.document()))
}

func getMore(r *request, out *reply) error {
	id, _ := r.arg.Int64OK()
	c := r.server.cursors.get(id, r.engine.Wall())
	if c == nil || c.ns.DB != r.db {
		return failure.New(failure.CursorNotFound, "cursor id %d not found", id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	limit, ok := value.Integer(r.field("batchSize"))
	if !ok || limit <= 0 {
		limit = 1 << 31
	}
	if c.stream != nil {
		return r.moreOfStream(c, int(limit), out)
	}
	if err := r.survives(c); err != nil {
		r.server.cursors.kill(id)
		return err
	}
	batch := c.take(int(limit))
	if len(c.docs) == 0 {
		r.server.cursors.kill(id)
		c.id = 0
	}
	c.write(out, "nextBatch", batch)
	return nil
}

// survives says whether the collection that a cursor reads still has its name.
func (r *request) survives(c *cursor) error {
	if c.from.UUID == ([16]byte{}) {
		return nil
	}
	now, there := r.engine.Named(c.from.UUID)
	switch {
	case !there:
		return failure.New(failure.QueryPlanKilled, "collection dropped. UUID %x", c.from.UUID)
	case now != c.from.NS:
		return failure.New(failure.QueryPlanKilled, "collection renamed from '%s' to '%s'. UUID %x", c.from.NS, now, c.from.UUID)
	}
	return nil
}

// moreOfStream waits for events until maxTimeMS is over.
func (r *request) moreOfStream(c *cursor, limit int, out *reply) error {
	wait := defaultAwaiting
	if ms, ok := value.Integer(r.field("maxTimeMS")); ok && ms >= 0 && ms < 1<<31 {
		wait = time.Duration(ms) * time.Millisecond
	}
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		events, changed, err := c.stream.Next(limit)
		if err != nil {
			r.server.cursors.kill(c.id)
			return err
		}
		if len(events) > 0 || c.stream.Over() {
			return r.writeEvents(c, events, out)
		}
		select {
		case <-changed:
		case <-over.C:
			return r.writeEvents(c, nil, out)
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
}

func (r *request) writeEvents(c *cursor, events []D, out *reply) error {
	if c.stream.Over() {
		r.server.cursors.kill(c.id)
		c.id = 0
	}
	c.write(out, "nextBatch", events)
	return nil
}

func killCursors(r *request, out *reply) error {
	list, _ := r.field("cursors").ArrayOK()
	ids, _ := list.Values()
	var killed, unknown []V
	for _, v := range ids {
		if id, ok := value.Integer(v); ok && r.server.cursors.kill(id) {
			killed = append(killed, v)
		} else {
			unknown = append(unknown, v)
		}
	}
	out.add("cursorsKilled", value.Array(killed...))
	out.add("cursorsNotFound", value.Array(unknown...))
	out.add("cursorsAlive", value.Array())
	out.add("cursorsUnknown", value.Array())
	return nil
}
