package spool

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/banyan-fig/banyan/events"
)

// Entry describes an event in the spool, without its data. The fields from ID on are
// the event's own, and empty where it cannot be decoded.
type Entry struct {
	Number       uint64    `json:"number"` // in the order of enqueueing, from 1
	EnqueuedAt   time.Time `json:"enqueuedAt"`
	Bytes        int       `json:"bytes"` // of the event as it is encoded
	PartitionKey string    `json:"partitionKey"`
	ID           string    `json:"id,omitempty"`
	Type         string    `json:"type,omitempty"`
	Source       string    `json:"source,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	Time         time.Time `json:"time,omitzero"`       // when it happened
	Malformed    string    `json:"malformed,omitempty"` // why it cannot be decoded
}

// Refused is an event that the destination will never accept.
type Refused struct {
	Entry
	Reason    string    `json:"reason"`
	RefusedAt time.Time `json:"refusedAt"`
}

func entryOf(r *record, data []byte) Entry {
	e := Entry{Number: r.number, EnqueuedAt: r.enqueuedTime(), Bytes: len(data), PartitionKey: string(r.key)}
	decoded, err := events.Decode(data)
	if err != nil {
		e.Malformed = err.Error()
		return e
	}
	e.ID, e.Type, e.Source, e.Subject, e.Time = decoded.ID, decoded.Type, decoded.Source, decoded.Subject, decoded.Time
	return e
}

func refusedOf(r *record) (Refused, refusal, error) {
	why, err := parseRefusal(r.data)
	if err != nil {
		return Refused{}, why, err
	}
	return Refused{entryOf(r, why.data), why.reason, time.Unix(0, why.at).UTC()}, why, nil
}

// Redrive puts refused events for which match is true behind everything that
// waits, in the order of their numbers, under new ones, and returns how many. A
// nil match is true for all. So they come after events of their key that were
// enqueued later.
//
// Match is called while the spool writes; it must be quick and must not call the
// spool. When ctx ends before, some may have been put back.
func (s *Spool) Redrive(ctx context.Context, match func(Refused) bool) (int, error) {
	return s.removeMatching(ctx, match, func(tx *bolt.Tx, next *state, r *record, why refusal) error {
		again := record{file: s.store.id, generation: s.store.attempt, number: next.Next, enqueuedAt: r.enqueuedAt,
			kind: kindEvent, key: r.key, data: why.data}
		value := again.appendTo(nil)
		next.Next++
		next.Events++
		next.Bytes += uint64(len(value))
		return tx.Bucket(bucketEvents).Put(numberKey(again.number), value)
	})
}

// RemoveRefused deletes refused events for which match is true, for good, and
// returns how many. See [Spool.Redrive] for match.
func (s *Spool) RemoveRefused(ctx context.Context, match func(Refused) bool) (int, error) {
	return s.removeMatching(ctx, match, func(*bolt.Tx, *state, *record, refusal) error { return nil })
}

// refusedAtOnce is how many refused events one transaction looks at.
const refusedAtOnce = 500

type visitRefused func(tx *bolt.Tx, next *state, r *record, why refusal) error

// removeMatching calls do for each refused event that matches, then deletes it from the bucket of refused ones.
func (s *Spool) removeMatching(ctx context.Context, match func(Refused) bool, do visitRefused) (total int, err error) {
	through := uint64(0)
	for more := true; more && err == nil; {
		err = s.runInWriter(ctx, func() error {
			n := 0
			err := s.store.update(func(tx *bolt.Tx, next *state) (err error) {
				n, through, more, err = s.removeSome(tx, next, through, match, do)
				return err
			})
			if err == nil {
				total += n
				s.committed(&job{}, s.readOldest())
				signal(s.arrived)
			}
			return s.callError(err)
		})
	}
	return total, err
}

// callError returns the error for a caller of the writer. Any failure but a full disk breaks the
// spool.
func (s *Spool) callError(err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, errDamaged) && !s.isDiskFull(err) {
		s.breakDown(err)
	}
	return fmt.Errorf("publishers/spool: refused events of %s: %w", s.cfg.Path, err)
}

// removeSome handles one transaction's worth of refused events, those with numbers above behind.
func (s *Spool) removeSome(tx *bolt.Tx, next *state, behind uint64, match func(Refused) bool, do visitRefused) (n int, through uint64, more bool, err error) {
	b := tx.Bucket(bucketRefused)
	c := b.Cursor()
	through = behind
	var removed [][]byte
	size := 0
	key, value := c.Seek(numberKey(behind + 1))
	for looked := 0; key != nil && looked < refusedAtOnce && size < 8<<20; looked++ {
		through = keyNumber(key)
		r, err := parseRecord(value)
		if err != nil {
			return 0, through, false, fmt.Errorf("number %d: %w", through, err)
		}
		shown, why, err := refusedOf(&r)
		if err != nil {
			return 0, through, false, fmt.Errorf("number %d: %w", through, err)
		}
		if match == nil || match(shown) {
			if err := do(tx, next, &r, why); err != nil {
				return 0, through, false, err
			}
			next.Refused--
			next.RefusedB -= uint64(len(value))
			size += len(value)
			removed = append(removed, numberKey(through))
		}
		key, value = c.Next()
	}
	for _, k := range removed {
		if err := b.Delete(k); err != nil {
			return 0, through, false, err
		}
	}
	return len(removed), through, key != nil, nil
}

// readOldest returns when the first pending event was enqueued. Only the writer may call it.
func (s *Spool) readOldest() (enqueuedAt int64) {
	_ = s.store.db.View(func(tx *bolt.Tx) error {
		if key, value := tx.Bucket(bucketEvents).Cursor().First(); key != nil {
			enqueuedAt = readEnqueuedAt(value)
		}
		return nil
	})
	return enqueuedAt
}
