package mongodb

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// operation is a command that a connection is at, from its arrival on.
type operation struct {
	*request
	id      int32
	since   time.Time
	kill    context.CancelFunc
	waiting bool // for a lock
	open    *openTransaction
}

// openTransaction is what is shown of a transaction.
type openTransaction struct {
	lsid   D
	number int64
	began  time.Time
	client *conn // that began it
}

// begin enters a command into the list of operations. It is over with end.
func (c *conn) begin(r *request) (end func()) {
	o := &operation{request: r, id: c.server.lastOp.Add(1), since: c.server.engine.Wall()}
	r.operation = o
	r.ctx, o.kill = context.WithCancel(c.server.ctx)
	c.mu.Lock()
	c.running = append(c.running, o)
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = slices.DeleteFunc(c.running, func(other *operation) bool { return other == o })
		o.kill()
	}
}

// note changes what is shown of the operation.
func (o *operation) note(change func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change()
}

// operations lists what the connections are at, and if asked for those that are
// at nothing and the transactions between two statements.
func (s *Server) operations(idle, sessions bool) []D {
	s.mu.Lock()
	var docs []D
	for c := range s.conns {
		c.mu.Lock()
		for _, o := range c.running {
			docs = append(docs, o.document())
		}
		if idle && len(c.running) == 0 {
			b := c.entry("op")
			b.string("desc", "conn"+strconv.Itoa(int(c.id)))
			b.bool("active", false)
			docs = append(docs, b.document())
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	if sessions {
		docs = append(docs, s.sessions.idle()...)
	}
	slices.SortFunc(docs, value.CompareDocuments)
	return docs
}

// entry begins with what is known of the client. The caller holds c.mu.
func (c *conn) entry(kind string) *reply {
	b := newReply()
	b.string("type", kind)
	b.string("host", c.server.Addr())
	b.int32("connectionId", int(c.id))
	b.string("client", c.net.RemoteAddr().String())
	if c.app != "" {
		b.string("appName", c.app)
	}
	if c.driver != nil {
		b.add("clientMetadata", value.Document(c.driver))
	}
	return b
}

var operationNames = map[string]string{"insert": "insert", "update": "update", "delete": "remove", "find": "query", "getMore": "getmore"}

// maxShownCommand is how much of a command is shown.
const maxShownCommand = 1000

func (o *operation) document() D {
	b := o.entry("op")
	b.string("desc", "conn"+strconv.Itoa(int(o.conn.id)))
	b.bool("active", true)
	b.int32("opid", int(o.id))
	running := o.server.engine.Wall().Sub(o.since)
	b.out = bsoncore.AppendInt64Element(b.out, "secs_running", int64(running/time.Second))
	b.out = bsoncore.AppendInt64Element(b.out, "microsecs_running", running.Microseconds())
	b.string("op", cmp.Or(operationNames[o.name], "command"))
	ns := o.target()
	if ns.Coll == "" {
		ns.Coll = "$cmd"
		if o.name == "aggregate" {
			ns.Coll = allCollections
		}
	}
	b.string("ns", ns.String())
	command := o.body
	if len(command) > maxShownCommand {
		elements := bsoncore.AppendStringElement(nil, "$truncated", command.String()[:maxShownCommand])
		if comment, err := o.body.LookupErr("comment"); err == nil {
			elements = bsoncore.AppendValueElement(elements, "comment", comment)
		}
		command = bsoncore.BuildDocument(nil, elements)
	}
	b.add("command", value.Document(command))
	o.open.show(b)
	b.bool("waitingForLock", o.waiting)
	return b.document()
}

func (t *openTransaction) show(b *reply) {
	if t == nil {
		return
	}
	b.add("lsid", value.Document(t.lsid))
	parameters := bsoncore.BuildDocument(nil, bsoncore.AppendInt64Element(nil, "txnNumber", t.number), bsoncore.AppendBooleanElement(nil, "autocommit", false))
	b.add("transaction", value.Document(bsoncore.BuildDocument(nil,
		bsoncore.AppendDocumentElement(nil, "parameters", parameters),
		bsoncore.AppendStringElement(nil, "startWallClockTime", t.began.UTC().Format(time.RFC3339Nano)),
		bsoncore.AppendInt64Element(nil, "timeOpenMicros", time.Since(t.began).Microseconds()))))
}

// idle lists the transactions that no command is at.
func (s *sessions) idle() []D {
	s.mu.Lock()
	all := make([]*session, 0, len(s.byID))
	for _, one := range s.byID {
		all = append(all, one)
	}
	s.mu.Unlock()
	var docs []D
	for _, one := range all {
		if !one.mu.TryLock() {
			continue // it is an operation
		}
		if one.txn != nil {
			docs = append(docs, one.open.document())
		}
		one.mu.Unlock()
	}
	return docs
}

func (t *openTransaction) document() D {
	t.client.mu.Lock()
	defer t.client.mu.Unlock()
	b := t.client.entry("idleSession")
	b.string("desc", "inactive transaction")
	b.bool("active", false)
	t.show(b)
	b.bool("waitingForLock", false)
	return b.document()
}

func (r *request) currentOpStage(ns store.Namespace, argument, rest V, out *reply) error {
	if ns != (store.Namespace{DB: "admin"}) {
		return failure.New(failure.InvalidNamespace, "$currentOp must be run against the 'admin' database with {aggregate: 1}")
	}
	options := map[string]bool{"allUsers": false, "idleConnections": false, "idleCursors": false, "idleSessions": true, "localOps": false}
	it := value.Elements(argument.Data)
	for it.Next() {
		if _, known := options[string(it.Key)]; !known {
			return failure.New(failure.FailedToParse, "Unrecognized option '%s' in $currentOp stage.", it.Key)
		}
		options[string(it.Key)] = value.Truthy(it.Value)
	}
	return r.made(ns, r.server.operations(options["idleConnections"], options["idleSessions"]), rest, out)
}

func (r *request) adminOnly() error {
	if r.db != "admin" {
		return failure.New(failure.Code(13), "%s may only be run against the admin database.", r.name)
	}
	return nil
}
