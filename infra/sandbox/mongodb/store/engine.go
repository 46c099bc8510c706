// Package store keeps the sandbox's MongoDB data: databases, collections,
// indexes, the oplog, snapshots and transactions, all in memory.
//
// Caveats: one lock guards everything that changes; readers that scan work on a
// copy-on-write clone and hold it only for an instant. A write that meets
// the pending write of a transaction fails there, or is told to wait if it is
// none of a transaction's; that a pending delete frees a unique key is not seen.
// Nothing here keeps a name from being changed under a transaction: callers lock
// names.
package store

import (
	"cmp"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
)

// Config bounds the engine. The zero value works.
type Config struct {
	OplogEntries int              // at most so many entries; 0 means 500,000
	OplogBytes   int64            // at most so many bytes; 0 means 256 MiB
	History      time.Duration    // how far back atClusterTime may reach; 0 means 5 minutes
	Now          func() time.Time // the clock; nil means time.Now
}

// Namespace is a database with a collection; Coll is empty for the database.
type Namespace struct{ DB, Coll string }

// Compare orders namespaces.
func (n Namespace) Compare(m Namespace) int {
	return cmp.Or(strings.Compare(n.DB, m.DB), strings.Compare(n.Coll, m.Coll))
}

// String is "db.coll".
func (n Namespace) String() string {
	if n.Coll == "" {
		return n.DB
	}
	return n.DB + "." + n.Coll
}

// Engine is all the data. It is safe for concurrent use.
type Engine struct {
	mu    sync.RWMutex
	cfg   Config
	dbs   map[string]map[string]*Collection
	byID  map[[16]byte]*Collection
	clock Timestamp
	log   oplog

	pending map[touchKey]*Txn
}

// Collection is a collection or a view. Its fields are read under the engine's
// lock.
type Collection struct {
	NS        Namespace
	UUID      [16]byte
	Options   D
	ViewOn    string // not empty for a view
	Pipeline  V
	data      *contents
	validator *query.Filter
	moderate  bool // the validator does not look at what was invalid before
	prePost   bool
	since     Timestamp // when it got its present name
	snapshots []snapshot
}

type snapshot struct {
	at   Timestamp
	data *contents
}

// New makes an empty engine.
func New(cfg Config) *Engine {
	cfg.OplogEntries = cmp.Or(cfg.OplogEntries, 500_000)
	cfg.OplogBytes = cmp.Or(cfg.OplogBytes, 256<<20)
	cfg.History = cmp.Or(cfg.History, 5*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Engine{cfg: cfg, dbs: map[string]map[string]*Collection{}, byID: map[[16]byte]*Collection{}, pending: map[touchKey]*Txn{}}
	e.log = oplog{maxCount: cfg.OplogEntries, maxBytes: cfg.OplogBytes, changed: make(chan struct{})}
	e.tick()
	e.log.lost = Position{At: e.clock}
	return e
}

// tick advances the cluster time: strictly, and with the clock.
func (e *Engine) tick() Timestamp {
	if now := uint32(e.cfg.Now().Unix()); now > e.clock.T {
		e.clock = Timestamp{now, 1}
	} else {
		e.clock.I++
	}
	return e.clock
}

// Now is the cluster time of the last change.
func (e *Engine) Now() Timestamp {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.clock
}

// Wall is the engine's clock.
func (e *Engine) Wall() time.Time { return e.cfg.Now() }

// record writes one change to the oplog.
func (e *Engine) record(entry *Entry) {
	entry.Position = Position{At: e.tick()}
	entry.Wall = e.cfg.Now()
	e.log.append(entry)
}

func newUUID() [16]byte {
	var id [16]byte
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// collection finds a collection or view.
func (e *Engine) collection(ns Namespace) (*Collection, bool) {
	c, ok := e.dbs[ns.DB][ns.Coll]
	return c, ok
}

// writable finds the collection to write to, and makes it if it is missing and
// may be made: for a transaction, within it.
func (e *Engine) writable(ns Namespace, txn *Txn, create bool) (*Collection, error) {
	c, ok := e.collection(ns)
	switch {
	case ok && c.ViewOn != "":
		return nil, isView(ns)
	case ok:
		return c, nil
	case txn != nil && txn.created[ns] != nil:
		return txn.created[ns], nil
	case !create:
		return nil, nil
	}
	if err := CheckName(ns); err != nil {
		return nil, err
	}
	if txn != nil {
		return txn.create(&Collection{NS: ns, Options: newDocument().end()}), nil
	}
	return e.create(ns, newDocument().end()), nil
}

func isView(ns Namespace) error {
	return failure.New(failure.CommandNotSupportedOnView, "Namespace %s is a view, not a collection", ns)
}

func (e *Engine) create(ns Namespace, options D) *Collection {
	c := &Collection{NS: ns, UUID: newUUID(), Options: options, data: newContents()}
	e.install(c)
	e.record(&Entry{Kind: Created, NS: ns, UUID: c.UUID})
	c.since = e.clock
	return c
}

func (e *Engine) install(c *Collection) {
	if e.dbs[c.NS.DB] == nil {
		e.dbs[c.NS.DB] = map[string]*Collection{}
	}
	e.dbs[c.NS.DB][c.NS.Coll] = c
	e.byID[c.UUID] = c
}
