package mongodb

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// locks are held on names: shared by what reads and writes documents, exclusive
// by what changes which collection a name stands for. A command holds them until
// it is done, a transaction until it ends. They are granted in the order of the
// requests, so whatever comes behind a waiting exclusive lock waits as well.
type locks struct {
	mu     sync.Mutex
	byName map[store.Namespace]*lockQueue
}

type lockQueue struct {
	shared    int
	exclusive bool
	waiting   []*lockRequest
}

type lockRequest struct {
	exclusive bool
	granted   chan struct{}
}

func newLocks() *locks { return &locks{byName: map[store.Namespace]*lockQueue{}} }

// acquire waits for a lock as long as the context allows, and fails with the
// context's cause.
func (r *request) acquire(ctx context.Context, ns store.Namespace, exclusive bool) error {
	l := r.server.locks
	l.mu.Lock()
	q := l.byName[ns]
	if q == nil {
		q = &lockQueue{}
		l.byName[ns] = q
	}
	w := &lockRequest{exclusive: exclusive}
	if len(q.waiting) == 0 && q.admit(w) {
		l.mu.Unlock()
		return nil
	}
	w.granted = make(chan struct{})
	q.waiting = append(q.waiting, w)
	l.mu.Unlock()
	r.operation.note(func() { r.operation.waiting = true })
	defer r.operation.note(func() { r.operation.waiting = false })
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		return l.withdraw(ctx, ns, q, w)
	}
}

func (l *locks) withdraw(ctx context.Context, ns store.Namespace, q *lockQueue, w *lockRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(q.waiting, w)
	if i < 0 {
		return nil // granted at the last moment
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	l.grantLocked(ns, q)
	return context.Cause(ctx)
}

func (q *lockQueue) admit(w *lockRequest) bool {
	switch {
	case q.exclusive, w.exclusive && q.shared > 0:
		return false
	case w.exclusive:
		q.exclusive = true
	default:
		q.shared++
	}
	return true
}

func (l *locks) release(ns store.Namespace, exclusive bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.byName[ns]
	if exclusive {
		q.exclusive = false
	} else {
		q.shared--
	}
	l.grantLocked(ns, q)
}

func (l *locks) grantLocked(ns store.Namespace, q *lockQueue) {
	for len(q.waiting) > 0 && q.admit(q.waiting[0]) {
		close(q.waiting[0].granted)
		q.waiting = q.waiting[1:]
	}
	if q.shared == 0 && !q.exclusive && len(q.waiting) == 0 {
		delete(l.byName, ns)
	}
}

// maxLockWait is how long a statement of a transaction waits for a lock
// (maxTransactionLockRequestTimeoutMillis).
const maxLockWait = 5 * time.Millisecond

// lock takes locks on names, in the order of the names, which is the same for
// all commands.
func (r *request) lock(exclusive bool, names ...store.Namespace) error {
	slices.SortFunc(names, store.Namespace.Compare)
	for _, ns := range slices.Compact(names) {
		if err := r.lockOne(exclusive, ns); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) lockOne(exclusive bool, ns store.Namespace) error {
	l := r.server.locks
	if r.txn == nil {
		if err := r.acquire(r.ctx, ns, exclusive); err != nil {
			return err
		}
		r.unlock = append(r.unlock, func() { l.release(ns, exclusive) })
		return nil
	}
	if slices.Contains(r.session.locked, ns) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(r.ctx, maxLockWait, failure.New(failure.LockTimeout,
		"Unable to acquire lock on '%s' within %s.", ns, maxLockWait).WithLabels("TransientTransactionError"))
	defer cancel()
	if err := r.acquire(ctx, ns, exclusive); err != nil {
		return err
	}
	r.session.locked = append(r.session.locked, ns)
	return nil
}

func (r *request) releaseLocks() {
	for _, release := range r.unlock {
		release()
	}
	r.unlock = nil
}

// serverStatus counts what waits for locks.
func serverStatus(r *request, out *reply) error {
	l, waiting := r.server.locks, 0
	l.mu.Lock()
	for _, q := range l.byName {
		waiting += len(q.waiting)
	}
	l.mu.Unlock()
	queue := bsoncore.BuildDocument(nil, bsoncore.AppendInt32Element(nil, "total", int32(waiting)))
	out.add("globalLock", value.Document(bsoncore.BuildDocument(nil, bsoncore.AppendDocumentElement(nil, "currentQueue", queue))))
	return nil
}
