package spool

import (
	"errors"
	"fmt"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	compactFrom = 32 << 20 // bytes of a file that is worth it
	compactPart = 4        // when less than one part in so many is in use
)

// wasteful reports whether a file is much larger than what is in it. bbolt uses
// free pages again, but never gives them back.
func (x *examination) wasteful() bool {
	used := int64(x.state.Bytes + x.state.RefusedB)
	return x.fileBytes >= compactFrom && used < x.fileBytes/compactPart
}

// compact copies what is in the file into a new one. When that fails for lack of
// space, the file stays as it is.
func compact(cfg *Config, found *examination) (*examination, error) {
	temporary := cfg.Path + ".compact"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := copyAll(cfg.Path, temporary); err != nil {
		_ = os.Remove(temporary)
		if noSpace(err) {
			return found, nil
		}
		return nil, fmt.Errorf("compact: %w", err)
	}
	if err := replace(temporary, cfg.Path); err != nil {
		return nil, err
	}
	return examine(cfg.Path)
}

func copyAll(from, to string) error {
	source, err := bolt.Open(from, 0o600, &bolt.Options{Timeout: time.Second, ReadOnly: true})
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := bolt.Open(to, 0o600, &bolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bolt.FreelistMapType, NoSync: true})
	if err != nil {
		return err
	}
	err = guarded(func() error { return bolt.Compact(target, source, salvageBatch) })
	return errors.Join(err, target.Sync(), target.Close())
}
