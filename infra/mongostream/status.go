package mongostream

import (
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Status is a snapshot of a follower.
type Status struct {
	Name string
	// Following reports whether this process holds the lease and reads the stream; Owner is
	// the name of the holder, Epoch its number.
	Following bool
	Owner     string
	Epoch     int64
	// Position is the cluster time up to which everything is acknowledged.
	Position bson.Timestamp
	// Lag is the time since the server last had no unacknowledged change. It is -1
	// while that is unknown.
	Lag time.Duration
	// InFlight is how many changes are handled and not acknowledged.
	InFlight int
	// Handled counts the changes given to Handle by this process.
	Handled int64
	// Reconnects counts how often the stream was opened again after a transient
	// error, beyond what the driver repairs by itself.
	Reconnects int64
	// LastError is the last error, and LastErrorAt its time; both stay after
	// a recovery.
	LastError   string
	LastErrorAt time.Time
}

// Status returns the current status.
func (f *Follower) Status() Status {
	f.mu.Lock()
	st, s := f.status, f.session
	f.mu.Unlock()
	st.Lag = -1
	if s == nil {
		return st
	}
	p := s.progress.get()
	st.Following = s.checkpoint.Held()
	st.Owner, st.Epoch = s.checkpoint.Holder()
	st.Position, st.InFlight = p.At, s.inFlight()
	if !p.CaughtUp.IsZero() {
		st.Lag = max(0, time.Since(p.CaughtUp))
	}
	return st
}

func (f *Follower) setSession(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = s
}

func (f *Follower) clearSession(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = nil
	f.status.Position = s.progress.get().At
}

func (f *Follower) updateStatus(change func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}

// recordError keeps an error for Status and returns it. It is logged here, unless
// Run returns it.
func (f *Follower) recordError(err error) error {
	if err == nil {
		return nil
	}
	f.mu.Lock()
	f.status.LastError, f.status.LastErrorAt = err.Error(), time.Now()
	f.mu.Unlock()
	if !errors.Is(err, ErrHistoryLost) && !errors.Is(err, ErrInvalidated) {
		f.cfg.Log.Warn("change stream follower", "error", err)
	}
	return err
}
