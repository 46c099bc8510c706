package mongodb

import (
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

const (
	sessionMinutes = 30
	maxSessions    = 100_000
)

// session is a logical session: the statements of its last retryable write, and
// its transaction. One command at a time works with it.
type session struct {
	mu       sync.Mutex
	lsid     D
	number   int64
	replies  map[int32]statement
	txn      *store.Txn
	finished string // "committed" or "aborted": what became of transaction number
	used     time.Time
	locked   []store.Namespace // by the transaction
	expiry   *time.Timer
	open     *openTransaction
}

// statement is the remembered result of one statement of a retryable write.
type statement struct {
	n, modified int
	upserted    V
	reply       []byte // of findAndModify
}

type sessions struct {
	server *Server
	mu     sync.Mutex
	byID   map[string]*session
}

func newSessions(s *Server) *sessions { return &sessions{server: s, byID: map[string]*session{}} }

// get finds or begins the session of an lsid.
func (s *sessions) get(lsid D, now time.Time) (*session, error) {
	_, id, ok := value.Field(lsid, "id").BinaryOK()
	if !ok || len(id) != 16 {
		return nil, failure.New(failure.FailedToParse, "lsid.id must be a UUID")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[string(id)]
	if found == nil {
		if len(s.byID) >= maxSessions {
			s.expire(now)
		}
		if len(s.byID) >= maxSessions {
			return nil, failure.New(failure.TooManyLogicalSessions, "cannot add session: there are %d", len(s.byID))
		}
		found = &session{lsid: append(D(nil), lsid...), number: -1}
		s.byID[string(id)] = found
	}
	found.used = now
	return found, nil
}

// expire forgets the sessions that were not used. A transaction has ended long
// before.
func (s *sessions) expire(now time.Time) {
	for id, one := range s.byID {
		if now.Sub(one.used) > sessionMinutes*time.Minute {
			delete(s.byID, id)
		}
	}
}

// end forgets sessions and aborts their transactions.
func (s *sessions) end(list []V) {
	for _, v := range list {
		d, _ := v.DocumentOK()
		_, id, _ := value.Field(d, "id").BinaryOK()
		s.mu.Lock()
		one := s.byID[string(id)]
		delete(s.byID, string(id))
		s.mu.Unlock()
		if one != nil {
			one.mu.Lock()
			s.server.endTransaction(one, "aborted")
			one.mu.Unlock()
		}
	}
}

// maxTransaction is how long a transaction may be open
// (transactionLifetimeLimitSeconds).
const maxTransaction = time.Minute

// beginTransaction opens a transaction, which is aborted after maxTransaction.
// The caller holds the session.
func (s *Server) beginTransaction(one *session, client *conn) {
	t := s.engine.Begin(one.lsid, one.number)
	one.txn, one.open = t, &openTransaction{one.lsid, one.number, time.Now(), client}
	one.expiry = time.AfterFunc(maxTransaction, func() {
		one.mu.Lock()
		defer one.mu.Unlock()
		if one.txn == t {
			s.endTransaction(one, "aborted")
		}
	})
}

// endTransaction lets go of what an open transaction held. The caller holds the
// session.
func (s *Server) endTransaction(one *session, outcome string) {
	if one.txn == nil {
		return
	}
	one.expiry.Stop()
	s.engine.Finish(one.txn)
	one.txn, one.finished = nil, outcome
	for _, ns := range one.locked {
		s.locks.release(ns, false)
	}
	one.locked = nil
}

// enter finds the request's session and what its transaction number means, and
// keeps the session until release.
func (r *request) enter() (release func(), err error) {
	release = func() {}
	lsid, ok := value.Field(r.body, "lsid").DocumentOK()
	if !ok {
		return release, nil
	}
	s, err := r.server.sessions.get(lsid, r.engine.Wall())
	if err != nil {
		return release, err
	}
	number, numbered := value.Integer(value.Field(r.body, "txnNumber"))
	if !numbered {
		return release, nil
	}
	s.mu.Lock()
	r.session = s
	if err := r.join(s, number); err != nil {
		s.mu.Unlock()
		return func() {}, err
	}
	return s.mu.Unlock, nil
}

func (r *request) join(s *session, number int64) error {
	if number < s.number {
		return failure.New(failure.TransactionTooOld, "Cannot start transaction with transactionNumber %d because a newer transaction with "+
			"txnNumber %d has already started on this session.", number, s.number)
	}
	if !value.Missing(value.Field(r.body, "autocommit")) {
		return r.joinTransaction(s, number)
	}
	if number > s.number {
		r.server.endTransaction(s, "aborted")
		s.number, s.replies, s.finished = number, map[int32]statement{}, ""
	}
	if s.replies == nil {
		return failure.New(failure.Code(50768), "txnNumber %d belongs to a transaction and cannot be that of a retryable write", number)
	}
	return nil
}

func (r *request) joinTransaction(s *session, number int64) error {
	if value.Truthy(value.Field(r.body, "startTransaction")) {
		if number == s.number {
			return failure.New(failure.Code(50911), "Cannot start a transaction at given transaction number %d; it is in use", number)
		}
		r.server.endTransaction(s, "aborted")
		s.number, s.replies, s.finished = number, nil, ""
		r.server.beginTransaction(s, r.conn)
		r.txn = s.txn
		return nil
	}
	if r.name == "commitTransaction" || r.name == "abortTransaction" {
		if number > s.number {
			return noTransaction(number)
		}
		return nil
	}
	if number != s.number || s.txn == nil {
		if number == s.number && s.finished == "committed" {
			return failure.New(failure.TransactionCommitted, "Transaction with { txnNumber: %d } has been committed.", number)
		}
		return noTransaction(number)
	}
	r.txn = s.txn
	return nil
}

func noTransaction(number int64) error {
	return failure.New(failure.NoSuchTransaction, "Given transaction number %d does not match any in-progress transactions.", number).
		WithLabels("TransientTransactionError")
}

// abandon ends a transaction in which a command failed, as MongoDB does.
func (r *request) abandon() {
	if r.txn != nil {
		r.server.endTransaction(r.session, "aborted")
	}
}

func commitTransaction(r *request, _ *reply) error {
	s := r.session
	switch {
	case s == nil:
		return failure.New(failure.Code(125), "commitTransaction must be run within a transaction")
	case s.txn == nil && s.finished == "committed":
		return nil // a retried commit
	case s.txn == nil:
		return noTransaction(s.number)
	}
	outcome, err := "committed", r.engine.Commit(s.txn)
	if err != nil {
		outcome = "aborted"
	}
	r.server.endTransaction(s, outcome)
	return err
}

func abortTransaction(r *request, _ *reply) error {
	s := r.session
	if s == nil || s.txn == nil {
		number := int64(-1)
		if s != nil {
			number = s.number
		}
		return noTransaction(number)
	}
	r.server.endTransaction(s, "aborted")
	return nil
}

func endSessions(r *request, _ *reply) error {
	list, _ := r.arg.ArrayOK()
	values, _ := list.Values()
	r.server.sessions.end(values)
	return nil
}
