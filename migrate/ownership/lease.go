package ownership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// errRegressed says that the control table was reset, for instance restored from a
// backup, which no running member can follow safely.
var errRegressed = errors.New("the ownership record went back to an older revision; restart the service once the control table is right")

// retryPause is the time before a failed renewal or read is tried again.
var retryPause = backoff.Backoff{Min: 30 * time.Millisecond}

// leasedLocked reports whether operations may be admitted: the row was renewed, and the
// record read after the row was there, less than a lease ago, both counted from
// before the request.
func (m *Member) leasedLocked(now time.Time) bool {
	return !m.registered.IsZero() && !m.recSent.IsZero() &&
		elapsed(m.beatSent, now) < m.cfg.Lease && elapsed(m.recSent, now) < m.cfg.Lease
}

// keepPolling reads the record periodically.
func (m *Member) keepPolling(ctx context.Context) {
	for {
		err := m.poll(ctx)
		wait := m.pollInterval() // of what was just read
		if err != nil {
			wait = retryPause.Delay(0)
		}
		if !m.pause(ctx, wait, m.polls) {
			return
		}
	}
}

func (m *Member) pollInterval() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rec.Changing() {
		return m.pollSwitchingLocked()
	}
	return m.cfg.Poll
}

// Bounds of MemberConfig.PollSwitching where it is not configured.
const (
	minPollSwitching = 10 * time.Millisecond
	maxPollSwitching = 50 * time.Millisecond
)

func (m *Member) pollSwitchingLocked() time.Duration {
	each := maxPollSwitching // until they were counted
	if m.instances > 0 {
		each = min(max(time.Duration(m.instances)*time.Millisecond, minPollSwitching), maxPollSwitching)
	}
	return cmp.Or(m.cfg.PollSwitching, min(each, m.cfg.Poll))
}

func (m *Member) poll(ctx context.Context) error {
	sent := m.cfg.Clock.Now()
	var r Record
	err := m.attempt(ctx, func(ctx context.Context) (err error) {
		r, _, err = m.cfg.Table.loadOnce(ctx, m.cfg.Entity)
		return err
	})
	if err == nil {
		err = m.applyRecord(sent, r)
	}
	m.recordFailure(err)
	return err
}

// applyRecord stores a record that was requested at sent.
func (m *Member) applyRecord(sent time.Time, r Record) error {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.registered.IsZero() || sent.Before(m.registered) {
		return nil // requested before the row was there: it proves nothing
	}
	if r.Revision < m.rec.Revision {
		return fmt.Errorf("revision %d of %s after %d: %w", r.Revision, m.cfg.Entity, m.rec.Revision, errRegressed)
	}
	if r.Hold && (!m.rec.Hold || r.Epoch != m.rec.Epoch) {
		m.heldSince = now
	}
	if r.Revision != m.rec.Revision {
		m.problem = ""
		wake(m.probes)
	}
	m.rec, m.recSent = r, sent
	m.broadcastLocked()
	if m.ackableLocked() > m.acked {
		wake(m.renews)
	}
	return nil
}

// keepRenewing renews the row, earlier when there is a revision to acknowledge.
func (m *Member) keepRenewing(ctx context.Context) {
	for {
		if !m.pause(ctx, m.cfg.Renew, m.renews) {
			return
		}
		for m.renew(ctx) != nil {
			if !m.pause(ctx, retryPause.Delay(0), nil) {
				return
			}
		}
	}
}

func (m *Member) renew(ctx context.Context) error {
	sent := m.cfg.Clock.Now()
	m.mu.Lock()
	m.beat++
	row := m.rowLocked()
	m.mu.Unlock()

	err := m.attempt(ctx, func(ctx context.Context) error {
		return m.cfg.Table.renewOnce(ctx, m.cfg.Entity, row)
	})
	if errors.Is(err, errEvicted) {
		err = m.register(ctx)
		wake(m.polls)
	} else if err == nil {
		m.applyRenewal(sent, row)
	}
	m.recordFailure(err)
	return err
}

// applyRenewal notes that the row was there and is renewed. A registration whose answer
// was lost is known to have succeeded from here on.
func (m *Member) applyRenewal(sent time.Time, row MemberState) {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.registered.IsZero() {
		m.registered = now
		wake(m.polls)
	}
	m.beatSent, m.acked = sent, max(m.acked, row.Acked)
	m.broadcastLocked()
	if m.ackableLocked() > m.acked {
		wake(m.renews)
	}
}

// keepSweeping removes the rows of members that crashed, within three leases, so that a later switch
// does not have to wait for their leases.
func (m *Member) keepSweeping(ctx context.Context) {
	seen := sightings{}
	for m.pause(ctx, m.cfg.Lease, nil) {
		var states []MemberState
		err := m.attempt(ctx, func(ctx context.Context) (err error) {
			states, err = m.cfg.Table.membersOnce(ctx, m.cfg.Entity)
			return err
		})
		if err == nil {
			m.mu.Lock()
			m.instances = len(states)
			m.mu.Unlock()
			_, err = m.cfg.Table.removeDead(ctx, m.cfg.Entity, seen, states)
		}
		m.recordFailure(err)
		seen.prune(states)
	}
}

// prune removes the rows that no longer exist.
func (g sightings) prune(states []MemberState) {
	there := map[string]bool{}
	for _, s := range states {
		there[s.ID] = true
	}
	for id := range g {
		if !there[id] {
			delete(g, id)
		}
	}
}

// pause waits for d or for a request on asked. It returns false when ctx has ended.
func (m *Member) pause(ctx context.Context, d time.Duration, asked <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case <-asked:
	case <-m.cfg.Clock.After(d):
	}
	return ctx.Err() == nil
}

// recordFailure keeps the last failure for Ready and Stats.
func (m *Member) recordFailure(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trying = err
	if err != nil {
		m.stats.ControlErrors++
	}
}

func (t *Table) registerOnce(ctx context.Context, entity string, s MemberState) error {
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: encodeMember(entity, s)})
	return t.wrapError(err, "register "+s.ID+" for "+entity)
}

func (t *Table) renewOnce(ctx context.Context, entity string, s MemberState) error {
	_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.name, Item: encodeMember(entity, s),
		ConditionExpression: aws.String("attribute_exists(pk)"),
	})
	if dynamo.IsConditionFailed(err) {
		return errEvicted
	}
	return t.wrapError(err, "renew the lease of "+s.ID+" for "+entity)
}

func (t *Table) removeOnce(ctx context.Context, entity, id string) error {
	_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: key(entity, memberPrefix+id)})
	return t.wrapError(err, "remove the registration of "+id+" for "+entity)
}
