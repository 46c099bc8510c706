package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Salvage is the account of a damaged file that Open found. It is kept in the
// new file.
type Salvage struct {
	At      time.Time `json:"at"`
	Damage  string    `json:"damage"`  // what was wrong
	SetAway string    `json:"setAway"` // the damaged file, as a whole
	Bytes   int64     `json:"bytes"`   // of that file
	// Events and Refused were readable, and are in the new file in their order.
	// Refused events that were removed or driven again may be back.
	Events  uint64 `json:"events"`
	Refused uint64 `json:"refused"`
	// LostEvents and LostRefused are known to have been there and are not
	// readable. They are all that is lost if Exact.
	LostEvents  uint64 `json:"lostEvents"`
	LostRefused uint64 `json:"lostRefused"`
	// Lost are the first ranges of the numbers of events that are missing, with
	// both ends. Events that were refused or removed before are missing too.
	Lost [][2]uint64 `json:"lost,omitempty"`
	// Exact reports whether what the file said last of itself was readable. If not,
	// more may be lost, of the last transactions, and events may come again that
	// were forwarded already.
	Exact bool `json:"exact"`
}

// String is one line for people.
func (s Salvage) String() string {
	text := fmt.Sprintf("%s: saved %d events and %d refused ones; lost %d and %d", s.Damage, s.Events, s.Refused, s.LostEvents, s.LostRefused)
	if len(s.Lost) > 0 {
		text += fmt.Sprintf(" (numbers %v)", s.Lost)
	}
	if !s.Exact {
		text += "; how many there were at last is not readable, so more may be lost at the end"
	}
	return text + "; the damaged file is " + s.SetAway
}

const (
	mostLostRanges   = 20
	salvageBatch     = 4 << 20 // bytes of records a transaction
	salvageRetention = 20      // reports kept
)

// salvage makes a new file of everything readable in the damaged one at path,
// which keeps its content under another name.
func salvage(path string, x *examination, now time.Time) (*Salvage, error) {
	away := fmt.Sprintf("%s.damaged-%s", path, now.UTC().Format("20060102T150405.000000000Z"))
	report := &Salvage{At: now.UTC(), Damage: x.damage.Error(), SetAway: away, Bytes: x.fileBytes}
	temporary := path + ".salvage"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := copyReadable(path, temporary, report, x); err != nil {
		_ = os.Remove(temporary)
		return nil, fmt.Errorf("salvage what is readable into %s: %w (the damaged file is as it was: %w)", temporary, err, x.damage)
	}
	if err := os.Link(path, away); err != nil {
		return nil, fmt.Errorf("keep the damaged file as %s: %w", away, err)
	}
	return report, replace(temporary, path)
}

func copyReadable(from, to string, report *Salvage, x *examination) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	old, found, err := findState(f)
	if err != nil {
		return err
	}
	report.Exact = found && x.isLast(old.Txid)
	st, err := newStore(to, state{Format: format, Head: 1, Next: 1})
	if err != nil {
		return err
	}
	st.db.NoSync = true // until all is there
	s := salvager{store: st, old: old, stateFound: found, report: report}
	err = s.run(f, x.reports)
	return errors.Join(err, st.db.Sync(), st.db.Close())
}

// isLast reports whether a transaction was the last one of the file.
func (x *examination) isLast(txid uint64) bool {
	return x.bothRoots && txid >= x.meta.Txid || x.meta.Root != 0 && txid > x.meta.Txid
}

// salvager copies the readable records of a damaged file into a new one.
type salvager struct {
	store      *store
	old        lastState
	stateFound bool
	report     *Salvage
	batch      []record
	bytes      int
}

func (s *salvager) run(f *os.File, earlier []Salvage) error {
	err := scan(f, func(r *record) error {
		if !s.isLive(r) {
			return nil
		}
		r.key, r.data = bytes.Clone(r.key), bytes.Clone(r.data)
		s.batch = append(s.batch, *r)
		if s.bytes += r.size(); s.bytes < salvageBatch {
			return nil
		}
		return s.writeBatch()
	})
	if err != nil {
		return err
	}
	if err := s.writeBatch(); err != nil {
		return err
	}
	return s.finish(earlier)
}

// isLive reports whether r belongs into the new file. It is false for forwarded events and
// for records of a transaction that was rolled back.
func (s *salvager) isLive(r *record) bool {
	if r.file != s.old.file || r.kind != kindEvent && r.kind != kindRefused {
		return false
	}
	if !s.stateFound {
		return true
	}
	if r.kind == kindEvent && r.number < s.old.Head {
		return false
	}
	return r.number < s.old.Next || r.generation > s.old.generation
}

// writeBatch writes the batch. Records keep their generation: of two with one
// number, the later one wins.
func (s *salvager) writeBatch() error {
	err := s.store.db.Update(func(tx *bolt.Tx) error {
		for i := range s.batch {
			if err := s.putRecord(tx, &s.batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	s.batch, s.bytes = s.batch[:0], 0
	return err
}

func (s *salvager) putRecord(tx *bolt.Tx, r *record) error {
	bucket := bucketEvents
	if r.kind == kindRefused {
		bucket = bucketRefused
	}
	b := tx.Bucket(bucket)
	if there := b.Get(numberKey(r.number)); there != nil {
		if other, err := parseRecord(there); err == nil && other.generation >= r.generation {
			return nil
		}
	}
	s.store.attempt = max(s.store.attempt, r.generation)
	copied := *r
	copied.file = s.store.id
	return b.Put(numberKey(r.number), copied.appendTo(nil))
}

// finish deletes events that were refused later, counts the rest, and writes the state
// and the report.
func (s *salvager) finish(earlier []Salvage) error {
	return s.store.db.Update(func(tx *bolt.Tx) error {
		if err := s.deleteRefusedEvents(tx); err != nil {
			return err
		}
		next, err := s.countState(tx)
		if err != nil {
			return err
		}
		s.store.state = next
		if err := s.store.putState(tx, next, max(s.store.attempt, s.old.generation)+1); err != nil {
			return err
		}
		return s.store.putReports(tx, append(earlier, *s.report))
	})
}

func (s *salvager) deleteRefusedEvents(tx *bolt.Tx) error {
	events := tx.Bucket(bucketEvents)
	return tx.Bucket(bucketRefused).ForEach(func(number, _ []byte) error { return events.Delete(number) })
}

// countState computes the state of the new file from what is in it, and adds what is
// missing to the report.
func (s *salvager) countState(tx *bolt.Tx) (state, error) {
	next := state{Format: format, Head: max(s.old.Head, 1), Next: max(s.old.Next, 1), Enqueued: s.old.Enqueued, Forwarded: s.old.Forwarded}
	expected := next.Head // the number that should come next
	counted := uint64(0)  // events that the last state counts too
	err := tx.Bucket(bucketEvents).ForEach(func(key, value []byte) error {
		n := keyNumber(key)
		if s.stateFound || next.Events > 0 {
			s.noteMissing(expected, n)
		}
		if n < s.old.Next {
			counted++
		} else {
			next.Enqueued++
		}
		expected, next.Next = n+1, max(next.Next, n+1)
		next.Events++
		next.Bytes += uint64(len(value))
		return nil
	})
	if err != nil {
		return next, err
	}
	err = tx.Bucket(bucketRefused).ForEach(func(key, value []byte) error {
		next.Next = max(next.Next, keyNumber(key)+1)
		next.Refused++
		next.RefusedB += uint64(len(value))
		return nil
	})
	s.noteMissing(expected, s.old.Next)
	s.reportTotals(next, counted)
	return next, err
}

// noteMissing reports a range of missing numbers. Those below the last state's Next
// may have been refused or removed; those above it are lost.
func (s *salvager) noteMissing(from, to uint64) {
	if from >= to {
		return
	}
	if len(s.report.Lost) < mostLostRanges {
		s.report.Lost = append(s.report.Lost, [2]uint64{from, to - 1})
	}
	if behind := max(from, s.old.Next); behind < to {
		s.report.LostEvents += to - behind
	}
}

func (s *salvager) reportTotals(next state, counted uint64) {
	s.report.Events, s.report.Refused = next.Events, next.Refused
	s.report.LostEvents += subtractToZero(s.old.Events, counted)
	s.report.LostRefused = subtractToZero(s.old.Refused, next.Refused)
	if s.report.LostEvents == 0 {
		s.report.Lost = nil
	}
}

func subtractToZero(a, b uint64) uint64 {
	if b >= a {
		return 0
	}
	return a - b
}

// putReports keeps the latest reports.
func (st *store) putReports(tx *bolt.Tx, reports []Salvage) error {
	b := tx.Bucket(bucketState)
	for i, report := range reports[max(0, len(reports)-salvageRetention):] {
		text, err := json.Marshal(report)
		if err != nil {
			return err
		}
		r := record{file: st.id, generation: st.generation + 1, number: uint64(i), kind: kindReport, data: text}
		if err := b.Put(fmt.Appendf(nil, "report-%02d", i), r.appendTo(nil)); err != nil {
			return err
		}
	}
	return nil
}
