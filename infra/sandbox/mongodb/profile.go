package mongodb

import (
	"net"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

const (
	profileCollection = "system.profile"
	maxProfile        = 1 << 20 // bytes that a database's profile keeps
	slowMillis        = 100
)

// profiler is what was profiled of each database, and counted of each collection. An
// entry is of a command, where MongoDB makes one of each of its statements.
type profiler struct {
	mu    sync.Mutex
	byDB  map[string]*profile
	usage map[store.Namespace]map[string]int64 // by the kind of operation
}

type profile struct {
	level   int64
	given   V // the filter
	filter  *query.Filter
	entries []D
	size    int
}

func (p *profiler) of(db string) *profile {
	if p.byDB[db] == nil {
		p.byDB[db] = &profile{}
	}
	return p.byDB[db]
}

// note enters a command that has ended into the profile.
func (r *request) note(since time.Time, err error) {
	ns := r.target()
	if handshake[r.name] || ns.Coll == "" || ns.Coll == profileCollection || r.name == "profile" {
		return
	}
	kind := operationNames[r.name]
	if kind == "" {
		kind = "command"
	}
	now := r.engine.Wall()
	host, _, _ := net.SplitHostPort(r.net.RemoteAddr().String())
	b := newReply()
	b.string("op", kind)
	b.string("ns", ns.String())
	b.add("command", value.Document(r.body))
	b.out = bsoncore.AppendInt64Element(b.out, "millis", now.Sub(since).Milliseconds())
	b.out = bsoncore.AppendDateTimeElement(b.out, "ts", now.UnixMilli())
	b.string("client", host)
	b.string("appName", r.app)
	if err != nil {
		b.int32("errCode", int(asFailure(err).Code))
	}
	d := b.document()

	p := &r.server.profiler
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.usage[ns] == nil {
		p.usage[ns] = map[string]int64{}
	}
	p.usage[ns][kind]++
	switch one := p.of(ns.DB); {
	case one.level == 0, one.level == 1 && one.filter != nil && !one.filter.Matches(d),
		one.level == 1 && one.filter == nil && now.Sub(since) < slowMillis*time.Millisecond:
	default:
		one.entries, one.size = append(one.entries, d), one.size+len(d)
		for ; one.size > maxProfile; one.entries = one.entries[1:] {
			one.size -= len(one.entries[0])
		}
	}
}

func setProfile(r *request, out *reply) error {
	level, ok := value.Integer(r.arg)
	if !ok || level > 2 {
		return failure.New(failure.BadValue, "profiling level must be between 0 and 2, or less to ask for it")
	}
	if err := refused(r.body, "slowms", "sampleRate"); err != nil {
		return err
	}
	given, filter := r.field("filter"), (*query.Filter)(nil)
	if d, ok := given.DocumentOK(); ok {
		var err error
		if filter, err = query.CompileFilter(d); err != nil {
			return err
		}
	}
	r.server.profiler.mu.Lock()
	defer r.server.profiler.mu.Unlock()
	p := r.server.profiler.of(r.db)
	out.int32("was", int(p.level))
	out.int32("slowms", slowMillis)
	out.out = bsoncore.AppendDoubleElement(out.out, "sampleRate", 1)
	if p.filter != nil {
		out.add("filter", p.given)
	}
	if level >= 0 {
		p.level = level
	}
	if !value.Missing(given) {
		p.given, p.filter = given, filter
	}
	return nil
}

// topNames are what top calls the kinds of operations.
var topNames = map[string]string{"query": "queries", "getmore": "getmore", "insert": "insert", "update": "update", "remove": "remove", "command": "commands"}

func top(r *request, out *reply) error {
	if err := r.adminOnly(); err != nil {
		return err
	}
	r.server.profiler.mu.Lock()
	defer r.server.profiler.mu.Unlock()
	totals := newReply()
	for ns, counts := range r.server.profiler.usage {
		one := newReply()
		for kind, name := range topNames {
			one.add(name, value.Document(bsoncore.BuildDocument(nil, bsoncore.AppendInt64Element(nil, "count", counts[kind]))))
		}
		totals.add(ns.String(), value.Document(one.document()))
	}
	out.add("totals", value.Document(totals.document()))
	return nil
}
