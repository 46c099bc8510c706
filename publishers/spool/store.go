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

// store is the open file and what its last transaction said. It belongs to one
// goroutine, but for reading.
type store struct {
	path       string
	db         *bolt.DB
	id         uint64
	generation uint64 // of the last transaction that succeeded
	attempt    uint64 // of the last one that was tried
	state      state
	sync       Sync
	synced     uint64   // generation that is on the disk for sure
	pin        *bolt.Tx // keeps the pages of what is on the disk from being used again
	mapped     int64    // how far the file may grow while there is a pin
	arena      []byte   // of the records of a transaction
}

// createStore makes an empty file, whole before it has its name.
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

// replace gives a finished file its name, on the disk too.
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

// attemptsBetween is more than the transactions that can have failed before a
// process ended. So no two transactions ever have one number, and of what is
// found in a damaged file the latest is known.
const attemptsBetween = 1 << 20

// openStore opens a file that was found sound.
func openStore(path string, found *examination, cfg *Config) (*store, error) {
	st := &store{
		path: path, id: found.id, state: found.state, sync: cfg.Sync,
		generation: found.generation, synced: found.generation,
		attempt: found.generation + attemptsBetween,
	}
	options := &bolt.Options{
		Timeout:        max(cfg.LockTimeout, time.Second),
		NoFreelistSync: true, // the list of all free pages in each commit; Open reads everything anyway
		FreelistType:   bolt.FreelistMapType,
		NoSync:         cfg.Sync != SyncAlways,
	}
	if cfg.Sync == SyncInterval {
		st.mapped = mapSize(max(2*cfg.MaxBytes+64<<20, 2*found.fileBytes))
		options.InitialMmapSize = int(st.mapped)
	}
	if err := guarded(func() (err error) { st.db, err = bolt.Open(path, 0o600, options); return err }); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := st.syncAndPin(); err != nil {
		_ = st.close()
		return nil, err
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

// mapSize is how much bbolt maps for a file of that size: a power of two, from
// 1 GiB on full GiB.
func mapSize(size int64) int64 {
	for n := int64(32 << 10); n <= 1<<30; n <<= 1 {
		if size <= n {
			return n
		}
	}
	return (size + 1<<30 - 1) &^ (1<<30 - 1)
}

// update runs one transaction, which writes at most about so many bytes, and
// keeps with it the state that do leaves.
func (st *store) update(bytes int, do func(tx *bolt.Tx, next *state) error) error {
	if err := st.makeRoom(bytes); err != nil {
		return err
	}
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
	if st.sync == SyncAlways {
		st.synced = st.generation
	}
	return nil
}

// By how much the file grows at once: an eighth, within these.
const (
	leastGrowth = 256 << 10
	mostGrowth  = 16 << 20
)

// makeRoom releases the pin when the file may have to be mapped anew, for
// which bbolt waits until there is no reader.
func (st *store) makeRoom(bytes int) error {
	if st.pin == nil {
		return nil
	}
	// A page may carry four large values, of which each change writes all again.
	need := st.size() + 4*int64(bytes) + 4*maxRecord + 1<<20
	if need <= st.mapped {
		return nil
	}
	if err := st.db.Sync(); err != nil {
		return err
	}
	st.unpin()
	return nil
}

// size is that of the part of the file that is in use or was.
func (st *store) size() (n int64) {
	_ = st.db.View(func(tx *bolt.Tx) error { n = tx.Size(); return nil })
	return n
}

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

// syncAndPin makes sure that all is on the disk. From then on, with SyncInterval, no
// page of that state is overwritten before the next call: whatever part of later
// writes a power cut leaves, each event of now can still be found.
func (st *store) syncAndPin() error {
	if st.sync == SyncAlways {
		return nil
	}
	if err := st.db.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", st.path, err)
	}
	st.synced = st.generation
	if st.sync != SyncInterval {
		return nil
	}
	st.unpin()
	st.mapped = max(st.mapped, mapSize(st.size()))
	if st.size()+4*maxRecord+1<<20 > st.mapped {
		return nil // the next transaction may have to map anew
	}
	pin, err := st.db.Begin(false)
	if err != nil {
		return fmt.Errorf("read %s: %w", st.path, err)
	}
	st.pin = pin
	return nil
}

func (st *store) unpin() {
	if st.pin != nil {
		_ = st.pin.Rollback()
		st.pin = nil
	}
}

func (st *store) close() error {
	var err error
	if st.sync != SyncAlways && st.synced != st.generation {
		err = st.db.Sync()
	}
	st.unpin()
	return errors.Join(err, st.db.Close())
}

func (st *store) putState(tx *bolt.Tx, s state, generation uint64) error {
	s.Txid = uint64(tx.ID())
	r := record{file: st.id, generation: generation, taken: time.Now().UnixNano(), kind: kindState, data: s.encode()}
	return tx.Bucket(bucketState).Put(keyState, r.appendTo(nil))
}
