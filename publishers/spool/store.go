package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
)

var (
	bucketEvents  = []byte("events")  // number: event
	bucketRefused = []byte("refused") // number: refusal
	bucketState   = []byte("state")   // keyState: state, and reports
	keyState      = []byte("state")
)

// store is the open file with the state of its last transaction. One goroutine writes
// it; others may read.
type store struct {
	path       string
	db         *bolt.DB
	id         uint64
	generation uint64 // of the last transaction that succeeded
	attempt    uint64 // of the last one, successful or not
	state      state
	arena      []byte // of the records of a transaction
}

// createStore makes an empty file, and gives it its name once it is complete.
func createStore(path string) error {
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	st, err := newStore(temporary, state{Format: format, Head: 1, Next: 1})
	if err != nil {
		return err
	}
	if err := st.db.Close(); err != nil {
		return err
	}
	return replace(temporary, path)
}

// newStore makes a file with a state and no events.
func newStore(path string, s state) (*store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	var id [8]byte
	_, _ = rand.Read(id[:])
	st := &store{path: path, db: db, id: binary.LittleEndian.Uint64(id[:]), state: s}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketEvents, bucketRefused, bucketState} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return st.putState(tx, s, 1)
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	st.generation, st.attempt = 1, 1
	return st, nil
}

// replace renames a finished file, and syncs the directory.
func replace(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(to))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// attemptsBetween exceeds the number of transactions that can have failed before a
// process ended. So no two transactions share a number, and of two records
// in a damaged file it is known which is the later.
const attemptsBetween = 1 << 20

// openStore opens a file that examine found undamaged.
func openStore(path string, found *examination, cfg *Config) (*store, error) {
	st := &store{
		path: path, id: found.id, state: found.state,
		generation: found.generation, attempt: found.generation + attemptsBetween,
	}
	options := &bolt.Options{
		Timeout:        max(cfg.LockTimeout, time.Second),
		NoFreelistSync: true, // the list of all free pages in each commit; Open reads everything anyway
		FreelistType:   bolt.FreelistMapType,
	}
	if err := guarded(func() (err error) { st.db, err = bolt.Open(path, 0o600, options); return err }); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return st, nil
}

// guarded turns a panic of bbolt into an error, also one that comes from reading
// behind the end of a file. What it does in goroutines of its own is out of
// reach, which is why files are examined before.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: bbolt: %v", errDamaged, p)
		}
	}()
	return do()
}

// update runs one transaction and keeps with it the state that do leaves.
func (st *store) update(do func(tx *bolt.Tx, next *state) error) error {
	st.attempt++
	next := st.state
	err := guarded(func() error {
		return st.db.Update(func(tx *bolt.Tx) error {
			st.db.AllocSize = int(min(max(tx.Size()/8, leastGrowth), mostGrowth))
			if err := do(tx, &next); err != nil {
				return err
			}
			return st.putState(tx, next, st.attempt)
		})
	})
	if err != nil {
		return err
	}
	st.generation, st.state = st.attempt, next
	return nil
}

// By how much the file grows at once: an eighth, within these.
const (
	leastGrowth = 256 << 10
	mostGrowth  = 16 << 20
)

// inEffect reports whether the last attempt is in the file, although it ended with
// an error.
func (st *store) inEffect() bool {
	applied := true
	_ = guarded(func() error {
		return st.db.View(func(tx *bolt.Tx) error {
			r, err := parseRecord(tx.Bucket(bucketState).Get(keyState))
			applied = err != nil || r.generation == st.attempt
			return nil
		})
	})
	return applied
}

func (st *store) putState(tx *bolt.Tx, s state, generation uint64) error {
	s.Txid = uint64(tx.ID())
	r := record{file: st.id, generation: generation, enqueuedAt: time.Now().UnixNano(), kind: kindState, data: s.encode()}
	return tx.Bucket(bucketState).Put(keyState, r.appendTo(nil))
}
