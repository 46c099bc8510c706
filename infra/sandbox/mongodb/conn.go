package mongodb

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/wire"
)

// V and D are raw BSON values and documents.
type (
	V = value.V
	D = value.D
)

// conn is one client connection: requests are answered one after the other.
type conn struct {
	server *Server
	net    net.Conn
	id     int32
	opened time.Time
	in     *bufio.Reader
	sent   int32

	mu      sync.Mutex
	app     string
	driver  D
	running []*operation
	repeats sync.WaitGroup
}

func newConn(s *Server, nc net.Conn, id int32) *conn {
	return &conn{server: s, net: nc, id: id, opened: s.engine.Wall(), in: bufio.NewReaderSize(nc, 1<<16)}
}

// writeTimeout is how long a client may take to read an answer.
const writeTimeout = 30 * time.Second

func (c *conn) run() error {
	defer c.net.Close()
	for {
		m, err := wire.Read(c.in)
		if err != nil {
			return err
		}
		reply, err := c.answer(m)
		if err != nil {
			return err
		}
		if m.NoReply {
			continue
		}
		c.sent++
		c.net.SetWriteDeadline(time.Now().Add(writeTimeout))
		if err := wire.Write(c.net, m, c.sent, reply); err != nil {
			return err
		}
	}
}

// request is one command.
type request struct {
	*conn
	engine  *store.Engine
	message *wire.Message
	body    D
	name    string // of the command, as the client wrote it
	arg     V      // the command's own value
	db      string
	session *session
	txn     *store.Txn
	ctx     context.Context
	unlock  []func()

	operation *operation
	refused   error // of the last statement that failed
}

// reply gathers the fields of an answer.
type reply struct {
	at  int32
	out []byte
}

func newReply() *reply {
	r := &reply{}
	r.at, r.out = bsoncore.AppendDocumentStart(make([]byte, 0, 512))
	return r
}

func (r *reply) add(key string, v V) { r.out = bsoncore.AppendValueElement(r.out, key, v) }

func (r *reply) int32(key string, n int) { r.out = bsoncore.AppendInt32Element(r.out, key, int32(n)) }

func (r *reply) string(key, s string) { r.out = bsoncore.AppendStringElement(r.out, key, s) }

func (r *reply) bool(key string, b bool) { r.out = bsoncore.AppendBooleanElement(r.out, key, b) }

func (r *reply) document() D {
	d, _ := bsoncore.AppendDocumentEnd(r.out, r.at)
	return d
}

// errHangUp asks for the connection to be closed without an answer.
var errHangUp = errors.New("the sandbox was told to close the connection")

func (c *conn) answer(m *wire.Message) (D, error) {
	it := value.Elements(m.Body)
	if !it.Next() {
		return c.finish(newReply(), failure.New(failure.FailedToParse, "empty command")), nil
	}
	r := c.newRequest(m, string(it.Key), it.Value)
	out := newReply()
	hangUp, err := c.faulty(r, out)
	if hangUp {
		return nil, errHangUp
	}
	return c.finish(out, err), nil
}

func (c *conn) newRequest(m *wire.Message, name string, arg V) *request {
	r := &request{conn: c, engine: c.server.engine, message: m, body: m.Body, name: name, arg: arg}
	r.db, _ = value.Field(m.Body, "$db").StringValueOK()
	if m.Legacy {
		r.db = "admin"
	}
	return r
}

// wait lets time pass; ok is false if that was cut short.
func wait(ctx context.Context, d time.Duration) (ok bool) {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// late carries a command out behind the client's back.
func (c *conn) late(r *request, after time.Duration) {
	if wait(c.server.ctx, after) {
		defer c.begin(r)()
		_ = c.execute(r, newReply())
	}
}

func (c *conn) faulty(r *request, out *reply) (hangUp bool, err error) {
	f := c.fault(r)
	if f.Kind == Late {
		c.net.Close()
		c.late(r, f.Delay)
		return true, nil
	}
	defer c.begin(r)()
	if f.Kind != Repeat && !wait(r.ctx, f.Delay) {
		return false, context.Cause(r.ctx)
	}
	switch f.Kind {
	case CloseBefore:
		return true, nil
	case Repeat:
		if value.Missing(r.field("txnNumber")) {
			again := c.newRequest(r.message, r.name, r.arg)
			defer c.repeats.Go(func() { c.late(again, f.Delay) })
		}
	case NotWritablePrimary:
		err := failure.New(failure.NotWritablePrimary, "not primary (a fault injected by the sandbox)")
		if !value.Missing(value.Field(r.body, "txnNumber")) {
			err = err.WithLabels("RetryableWriteError")
		}
		return false, err
	}
	if f.Code != 0 {
		return false, failure.New(failure.Code(f.Code), "refused (a fault injected by the sandbox)")
	}
	err = c.execute(r, out)
	return f.Kind == CloseAfter, err
}

func (c *conn) fault(r *request) Fault {
	if c.server.cfg.Fault == nil || handshake[r.name] {
		return Fault{}
	}
	return c.server.cfg.Fault(r.name, r.target().String())
}

// target is the namespace that a command is about.
func (r *request) target() store.Namespace {
	name, _ := r.arg.StringValueOK()
	if r.name == "getMore" {
		name, _ = value.Field(r.body, "collection").StringValueOK()
	}
	return store.Namespace{DB: r.db, Coll: name}
}

// execute runs a command. A panic is a bug of the sandbox; it costs the client
// an error and not the process.
func (c *conn) execute(r *request, out *reply) (err error) {
	h, known := commands[r.name]
	if !known {
		return failure.New(failure.CommandNotFound, "no such command, or not implemented by the sandbox: '%.128s'", r.name)
	}
	since := c.server.engine.Wall()
	defer func() { r.note(since, cmp.Or(err, r.refused)) }()
	if err := r.checkFields(h.trait); err != nil {
		return err
	}
	defer r.within()()
	defer r.releaseLocks()
	defer func() {
		if p := recover(); p != nil {
			c.server.cfg.Log.Error("mongodb: command panicked", "command", r.name, "panic", p, "stack", string(debug.Stack()))
			err = failure.New(failure.InternalError, "the sandbox failed on '%s': %v", r.name, p)
		}
	}()
	if h.has(numbered) {
		release, err := r.enter()
		if err != nil {
			return err
		}
		defer release()
		if r.txn != nil {
			r.operation.note(func() { r.operation.open = r.session.open })
		}
	}
	if err = h.run(r, out); err != nil {
		r.abandon()
		return err
	}
	if f := r.unsatisfied(); f != nil {
		out.writeConcernError(f)
	}
	return nil
}

// within bounds the command's time by its maxTimeMS, which means another thing
// for the events of a stream.
func (r *request) within() (done func()) {
	ms, ok := value.Integer(r.field("maxTimeMS"))
	if !ok || ms <= 0 || r.name == "getMore" {
		return func() {}
	}
	r.ctx, done = context.WithTimeoutCause(r.ctx, time.Duration(min(ms, math.MaxInt32))*time.Millisecond,
		failure.New(failure.MaxTimeMSExpired, "operation exceeded time limit"))
	return done
}

// finish completes an answer: ok or the error, then the times.
func (c *conn) finish(out *reply, err error) D {
	if err != nil {
		out = newReply()
		out.out = bsoncore.AppendDoubleElement(out.out, "ok", 0)
		appendError(out, err)
	} else {
		out.out = bsoncore.AppendDoubleElement(out.out, "ok", 1)
	}
	now := c.server.engine.Now()
	signature := bsoncore.BuildDocument(nil, bsoncore.AppendBinaryElement(nil, "hash", 0, make([]byte, 20)), bsoncore.AppendInt64Element(nil, "keyId", 0))
	out.out = bsoncore.AppendDocumentElement(out.out, "$clusterTime", bsoncore.BuildDocument(nil,
		bsoncore.AppendTimestampElement(nil, "clusterTime", now.T, now.I),
		bsoncore.AppendDocumentElement(nil, "signature", signature)))
	out.out = bsoncore.AppendTimestampElement(out.out, "operationTime", now.T, now.I)
	return out.document()
}

func asFailure(err error) *failure.Error {
	var f *failure.Error
	if errors.As(err, &f) {
		return f
	}
	return failure.New(failure.InternalError, "%v", err)
}

func (r *reply) writeConcernError(f *failure.Error) {
	d := newReply()
	d.int32("code", int(f.Code))
	d.string("codeName", f.Code.String())
	d.string("errmsg", f.Message)
	r.add("writeConcernError", value.Document(d.document()))
}

func appendError(out *reply, err error) {
	f := asFailure(err)
	out.string("errmsg", f.Message)
	out.int32("code", int(f.Code))
	out.string("codeName", f.Code.String())
	out.out = append(out.out, f.Extra...)
	out.labels(f.Labels)
}

func (r *reply) labels(list []string) {
	if len(list) == 0 {
		return
	}
	var labels []V
	for _, l := range list {
		labels = append(labels, value.String(l))
	}
	r.add("errorLabels", value.Array(labels...))
}
