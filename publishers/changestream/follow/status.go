package follow

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Status is how a follower is doing.
type Status struct {
	Name string
	// Following says that the lease is ours and the stream is read; Owner is the
	// name we hold it under, Epoch the how many-th owner we are.
	Following bool
	Owner     string
	Epoch     int64
	// Position is the cluster time up to which everything is settled.
	Position bson.Timestamp
	// Lag is how long ago all changes that had been made then were settled. It is
	// -1 while that is not known.
	Lag time.Duration
	// InFlight is how many changes are handled and not settled.
	InFlight int
	// Handled counts the changes given to Handle by this process.
	Handled int64
	// Reconnects counts how often the stream was opened again after an error that
	// passes, beyond what the driver mends by itself.
	Reconnects int64
	// LastError is the last thing that went wrong, and LastErrorAt when; it stays
	// when all is well again.
	LastError   string
	LastErrorAt time.Time
}

// Status tells how the follower is doing now.
func (f *Follower) Status() Status {
	f.mu.Lock()
	st, s := f.status, f.session
	f.mu.Unlock()
	st.Lag = -1
	if s == nil {
		return st
	}
	p := s.progress.get()
	st.Following, st.Owner, st.Epoch = s.lease.held(), s.lease.owner, s.lease.epoch
	st.Position, st.InFlight = p.at, s.inFlight()
	if !p.seen.IsZero() {
		st.Lag = max(0, s.cfg.Now().Sub(p.seen))
	}
	return st
}

func (f *Follower) enter(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = s
}

func (f *Follower) leave(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = nil
	f.status.Position = s.progress.get().at
}

func (f *Follower) handled() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Handled++
}

func (f *Follower) reconnected() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Reconnects++
}

// note keeps an error for Status and returns it. What follows from it is logged
// here when it passes, since nobody else will hear of it.
func (f *Follower) note(err error) error {
	if err == nil {
		return nil
	}
	f.mu.Lock()
	f.status.LastError, f.status.LastErrorAt = err.Error(), f.cfg.Now()
	f.mu.Unlock()
	if !errors.Is(err, ErrHistoryLost) && !errors.Is(err, ErrInvalidated) {
		f.cfg.Log.Warn("change stream follower", "error", err)
	}
	return err
}
