package ownership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
)

// Read runs fn with a grant for the store that owns the entity. It waits, until
// ctx ends, while there is no lease (then ErrNoLease).
//
// fn is run again, with a new grant, when it returned ErrFenced, or when the owner
// changed before it had ended and the lease was lost meanwhile; its earlier result
// must then be discarded. The grant must not be used after fn has returned.
func (m *Member) Read(ctx context.Context, fn func(context.Context, Grant) error) error {
	ctx, cancel := m.withDeadline(ctx)
	defer cancel()
	for {
		a, err := m.admit(ctx, false)
		if err != nil {
			return err
		}
		err = m.runAdmitted(ctx, a, fn)
		if errors.Is(err, ErrFenced) {
			if waitErr := m.awaitChange(ctx, a); waitErr != nil {
				return waitErr
			}
			continue
		}
		current, waitErr := m.stillCurrent(ctx, a)
		if waitErr != nil {
			return waitErr
		}
		if current {
			return err
		}
	}
}

// Write runs fn with a grant for the store that owns the entity. It waits while
// writes are held or there is no lease; when ctx ends first the error is ErrHeld
// or ErrNoLease, and nothing was written.
//
// When the store refuses the write, fn must return an error that wraps ErrFenced;
// then the record is read again and fn is run with the new grant. Any other error
// of fn is returned as it is. ErrLate is returned where DynamoDB took the write while the
// lease was lost, and the owner has changed.
func (m *Member) Write(ctx context.Context, fn func(context.Context, Grant) error) error {
	ctx, cancel := m.withDeadline(ctx)
	defer cancel()
	var held time.Duration
	defer func() { m.countHeld(held) }()
	for {
		a, err := m.admit(ctx, true)
		held += a.held
		if err != nil {
			return err
		}
		var sure bool
		err = m.runAdmitted(ctx, a, func(ctx context.Context, g Grant) error {
			err := fn(ctx, g)
			sure = m.isSure(g)
			return err
		})
		if err == nil && !sure {
			return m.confirm(ctx, a)
		}
		if !errors.Is(err, ErrFenced) {
			return err
		}
		refused := m.cfg.Clock.Now()
		err = m.awaitChange(ctx, a)
		held += m.cfg.Clock.Now().Sub(refused)
		if err != nil {
			return err
		}
	}
}

// isSure reports whether a write that has just ended, and that changes of the owner still wait
// for, was in time. MongoDB refuses one that is late; DynamoDB does so only where the migration
// has written since.
func (m *Member) isSure(g Grant) bool {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	return g.Owner != DynamoDB || m.leasedLocked(now) && m.rec.Epoch == g.Epoch
}

// confirm reads the record behind a write that has ended without a lease.
func (m *Member) confirm(ctx context.Context, a admission) error {
	rec, err := m.freshRecord(ctx)
	if err != nil || rec.Epoch != a.grant.Epoch {
		return fmt.Errorf("write %s in epoch %d: %w", m.cfg.Entity, a.grant.Epoch, errors.Join(ErrLate, err))
	}
	return nil
}

// admission is one operation that was admitted.
type admission struct {
	grant    Grant
	revision int64
	write    bool
	held     time.Duration
}

func (m *Member) withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, m.cfg.MaxWait)
}

// admit waits until the operation may run and counts it in.
func (m *Member) admit(ctx context.Context, write bool) (admission, error) {
	var heldSince time.Time
	for asked := false; ; {
		now := m.cfg.Clock.Now()
		m.mu.Lock()
		until, reason := m.waitReasonLocked(now, write)
		changed := m.changed
		if reason == nil {
			a := m.admitLocked(write)
			m.mu.Unlock()
			if !heldSince.IsZero() {
				a.held = now.Sub(heldSince)
			}
			return a, nil
		}
		m.mu.Unlock()
		if errors.Is(reason, ErrLeft) {
			return admission{}, m.refusalError(reason, nil)
		}
		if errors.Is(reason, ErrHeld) && heldSince.IsZero() {
			heldSince = now
		}
		if errors.Is(reason, ErrNoLease) && !asked {
			asked = true // once: a request at every wake-up would be a busy loop
			wake(m.polls)
			wake(m.renews)
		}
		if err := m.await(ctx, changed, until); err != nil {
			a := admission{}
			if !heldSince.IsZero() {
				a.held = m.cfg.Clock.Now().Sub(heldSince)
			}
			return a, m.refusalError(reason, err)
		}
	}
}

func (m *Member) refusalError(reason, cause error) error {
	if cause == nil {
		return fmt.Errorf("use %s: %w", m.cfg.Entity, reason)
	}
	return fmt.Errorf("use %s: %w: %w", m.cfg.Entity, reason, cause)
}

// waitReasonLocked says why an operation cannot be admitted now, and how long to wait
// before another look.
func (m *Member) waitReasonLocked(now time.Time, write bool) (time.Duration, error) {
	if m.left {
		return 0, ErrLeft
	}
	if !m.leasedLocked(now) {
		return m.cfg.Lease, errors.Join(ErrNoLease, m.trying)
	}
	if left := m.rec.HoldLeft(now, m.heldSince); write && left > 0 {
		return left, ErrHeld
	}
	return 0, nil
}

// await waits for a change, but not longer than d.
func (m *Member) await(ctx context.Context, changed <-chan struct{}, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-m.cfg.Clock.After(d):
	}
	return nil
}

// admitLocked counts an operation in and grants it the store of the record.
func (m *Member) admitLocked(write bool) admission {
	if write {
		m.writes[m.rec.Revision]++
	} else {
		m.reads[m.rec.Epoch]++
	}
	return admission{
		grant: Grant{
			Owner: m.rec.Owner, Epoch: m.rec.Epoch, Collection: m.rec.Collection, CollectionUUID: m.rec.CollectionUUID,
		},
		revision: m.rec.Revision,
		write:    write,
	}
}

// runAdmitted calls fn and counts the operation out, also when fn panics.
func (m *Member) runAdmitted(ctx context.Context, a admission, fn func(context.Context, Grant) error) error {
	defer m.release(a)
	return fn(ctx, a.grant)
}

// release counts an operation out.
func (m *Member) release(a admission) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if a.write {
		decrement(m.writes, a.revision)
	} else {
		decrement(m.reads, a.grant.Epoch)
	}
	if m.ackableLocked() > m.acked {
		wake(m.renews)
	}
	if m.left {
		m.broadcastLocked()
	}
}

func decrement(m map[int64]int, key int64) {
	if m[key]--; m[key] <= 0 {
		delete(m, key)
	}
}

// awaitChange waits, after the store refused a write, for a record that was requested
// since, and for one more poll if that record is unchanged.
func (m *Member) awaitChange(ctx context.Context, a admission) error {
	wake(m.polls)
	m.mu.Lock()
	pause := m.pollSwitchingLocked()
	m.mu.Unlock()
	if err := m.await(ctx, nil, backoff.Backoff{Min: pause}.Delay(0)); err != nil {
		return m.refusalError(errors.Join(ErrHeld, ErrFenced), err)
	}
	_, err := m.freshRecord(ctx)
	if err != nil && a.write {
		return errors.Join(ErrHeld, err)
	}
	return err
}

// stillCurrent reports whether a read that just ended used the present owner. Without
// a lease it requests the record again.
func (m *Member) stillCurrent(ctx context.Context, a admission) (bool, error) {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	rec, leased := m.rec, m.leasedLocked(now)
	m.mu.Unlock()
	if !leased {
		var err error
		if rec, err = m.freshRecord(ctx); err != nil {
			return false, err
		}
	}
	return rec.Epoch == a.grant.Epoch, nil
}

// freshRecord waits for a record that was requested after the call, and for a lease.
func (m *Member) freshRecord(ctx context.Context) (Record, error) {
	called := m.cfg.Clock.Now()
	wake(m.polls)
	for {
		now := m.cfg.Clock.Now()
		m.mu.Lock()
		rec, fresh, changed := m.rec, m.leasedLocked(now) && m.recSent.After(called), m.changed
		reason, pause := m.trying, m.pollSwitchingLocked()
		m.mu.Unlock()
		if fresh {
			return rec, nil
		}
		if err := m.await(ctx, changed, pause); err != nil {
			return Record{}, m.refusalError(errors.Join(ErrNoLease, reason), err)
		}
	}
}
