package ownership

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Member is one instance of the service that owns an entity. It is safe for
// concurrent use. Make one with Join and end it with Leave.
type Member struct {
	cfg    MemberConfig
	stop   context.CancelFunc
	loops  sync.WaitGroup
	polls  chan struct{} // asks for a read of the record now
	renews chan struct{} // asks for a renewal now
	probes chan struct{} // asks for a probe now

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when anything below changes

	id         string    // of the current registration
	registered time.Time // when its row was known to be there; zero while it is not
	beat       int64
	beatSent   time.Time // when the last successful renewal was sent
	acked      int64     // what the last successful renewal said

	rec       Record
	recSent   time.Time // when the read that brought rec was sent
	heldSince time.Time // when the present hold was first seen, under the present epoch

	instances int // of the service, as last counted; 0 before

	probed  int64  // the announced revision whose probe has ended
	problem string // why it failed; "" when it did not

	reads  map[int64]int // running reads by epoch
	writes map[int64]int // running writes by revision
	left   bool
	stats  Stats
	shadow ShadowReads
	trying error // the last failure to renew or to read
}

// Join registers an instance, reads the record and keeps the lease until Leave.
// It waits for the control table as long as ctx and ten seconds. ErrNoTable when
// the table is missing. The membership outlives ctx.
func Join(ctx context.Context, cfg MemberConfig) (*Member, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Member{
		cfg:     cfg.withDefaults(),
		polls:   make(chan struct{}, 1),
		renews:  make(chan struct{}, 1),
		probes:  make(chan struct{}, 1),
		changed: make(chan struct{}),
		reads:   map[int64]int{},
		writes:  map[int64]int{},
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := m.enter(ctx); err != nil {
		return nil, fmt.Errorf("join the owners of %s: %w", m.cfg.Entity, err)
	}
	m.start(context.WithoutCancel(ctx))
	return m, nil
}

// enterPause is the delay between attempts to join.
var enterPause = backoff.Backoff{Min: 100 * time.Millisecond}

// enter registers and reads the record, trying again until ctx ends.
func (m *Member) enter(ctx context.Context) error {
	for {
		err := m.register(ctx)
		if err == nil {
			err = m.poll(ctx)
		}
		if err == nil || !retryable(err) {
			return err
		}
		if enterPause.Wait(ctx, 0) != nil {
			return err
		}
	}
}

func (m *Member) start(ctx context.Context) {
	ctx, m.stop = context.WithCancel(ctx)
	m.loops.Go(func() { m.keepPolling(ctx) })
	m.loops.Go(func() { m.keepRenewing(ctx) })
	m.loops.Go(func() { m.keepSweeping(ctx) })
	m.loops.Go(func() { m.keepProbing(ctx) })
}

// Leave stops admitting operations, waits for those running until ctx ends, and
// removes the registration. When operations are still running then, the
// registration stays and its lease runs out, as for a crashed instance.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	m.left = true
	m.broadcastLocked()
	m.mu.Unlock()
	drained := m.drain(ctx)
	m.stop()
	m.loops.Wait()
	if drained != nil {
		return fmt.Errorf("leave the owners of %s: operations are still running: %w", m.cfg.Entity, drained)
	}
	m.mu.Lock()
	last := MemberState{ID: m.id, Beat: m.beat}
	m.mu.Unlock()
	err := m.cfg.Table.retry(ctx, func(ctx context.Context) error { return m.cfg.Table.removeOnce(ctx, m.cfg.Entity, last.ID) })
	if err != nil {
		return fmt.Errorf("leave the owners of %s: %w", m.cfg.Entity, err)
	}
	return nil
}

func (m *Member) drain(ctx context.Context) error {
	for {
		m.mu.Lock()
		running, changed := m.inflightLocked(), m.changed
		m.mu.Unlock()
		if running == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// register makes a new row. Whatever was read before it no longer counts.
func (m *Member) register(ctx context.Context) error {
	sent := m.cfg.Clock.Now()
	m.mu.Lock()
	m.id = m.cfg.ID + "-" + uuid.NewString()[:13]
	m.registered, m.beatSent, m.recSent = time.Time{}, time.Time{}, time.Time{}
	m.beat++
	m.broadcastLocked()
	row := m.rowLocked()
	m.mu.Unlock()

	err := m.attempt(ctx, func(ctx context.Context) error {
		return m.cfg.Table.registerOnce(ctx, m.cfg.Entity, row)
	})
	if err != nil {
		return err
	}
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.registered, m.beatSent, m.acked = now, sent, row.Acked
	return nil
}

// rowLocked is what the request sent next writes.
func (m *Member) rowLocked() MemberState {
	return MemberState{
		ID: m.id, Service: m.cfg.Service, Acked: m.ackableLocked(), Beat: m.beat, Lease: m.cfg.Lease,
		Inflight: m.inflightLocked(), Names: m.cfg.Probe != nil, AppName: m.cfg.AppName, Relay: m.cfg.Relay, Shadow: m.shadow,
		Problem: m.problem, ProblemRevision: m.probed,
	}
}

func (m *Member) attempt(ctx context.Context, send func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.AttemptTimeout)
	defer cancel()
	return send(ctx)
}

// inflightLocked counts what runs.
func (m *Member) inflightLocked() int {
	n := 0
	for _, running := range m.reads {
		n += running
	}
	for _, running := range m.writes {
		n += running
	}
	return n
}

// ackableLocked is the highest revision under whose rules everything running was
// admitted, and whose next name may be used. It never falls, because what it says
// stays true.
func (m *Member) ackableLocked() int64 {
	if m.rec.announces() && m.cfg.Probe != nil && (m.probed != m.rec.Revision || m.problem != "") {
		return m.acked
	}
	for revision := range m.writes {
		if revision < m.rec.Revision {
			return m.acked
		}
	}
	for epoch := range m.reads {
		if epoch < m.rec.Epoch {
			return m.acked
		}
	}
	return max(m.acked, m.rec.Revision)
}

// broadcastLocked wakes everyone who waits for a change.
func (m *Member) broadcastLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Record returns the record as this member knows it, valid or not.
func (m *Member) Record() Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rec.clone()
}

// Ready returns nil while the member can admit reads, else why it cannot.
func (m *Member) Ready() error {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return ErrLeft
	}
	if !m.leasedLocked(now) {
		return errors.Join(ErrNoLease, m.trying)
	}
	return nil
}
