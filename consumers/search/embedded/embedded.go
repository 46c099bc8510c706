// Package embedded is the search index of one process: bleve, in a directory of that
// process. It needs no server, and costs a scan of the table at each start.
//
// The directory is a cache. What a process left when it was closed is served by the next one
// until that has built anew, if every file is there as it was (by CRC-32); what a crash left,
// and what is damaged, is removed. Nothing has to be backed up.
//
// A process whose local disk nobody shares, such as a Lambda function, has an index of its own
// for each environment: use OpenSearch there. The same holds for more than two processes,
// since no more may read the stream of one table.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/filelock"
)

// Index implements [search.Index]. Safe for concurrent use.
type Index struct {
	dir  string
	lock *os.File

	writing sync.Mutex // held by who writes, or replaces what is written to

	mu       sync.RWMutex // held by who searches; an exclusive holder has writing as well
	served   *generation  // nil until there is one
	building *generation
	made     int // generations
}

// Open uses a directory, which it makes if it is not there. No other process may use it.
func Open(dir string) (*Index, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the search index: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the directory of the search index: %w", err)
	}
	i := &Index{dir: dir, lock: lock}
	free, err := filelock.Try(lock)
	if err == nil && !free {
		err = fmt.Errorf("another process has its search index in %s: give each a directory of its own", dir)
	}
	if err == nil {
		err = i.reopen()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return i, nil
}

const lockFile = "lock"

// Served reports whether there is an index to search.
func (i *Index) Served() bool {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.served != nil
}

// Find implements [search.Finder]. It fails with search.ErrNotBuilt until the first index is in use.
func (i *Index) Find(ctx context.Context, lookups []search.Lookup) ([][]search.Hit, error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if i.served == nil {
		return nil, search.ErrNotBuilt
	}
	answers := make([][]search.Hit, len(lookups))
	for n, l := range lookups {
		var err error
		if answers[n], err = i.served.find(ctx, l); err != nil {
			return nil, fmt.Errorf("embedded index: %w", err)
		}
	}
	return answers, nil
}

// Write implements [search.Index].
func (i *Index) Write(ctx context.Context, documents []search.Document) error {
	i.writing.Lock()
	defer i.writing.Unlock()
	for _, g := range []*generation{i.served, i.building} {
		if g == nil {
			continue
		}
		if err := g.write(ctx, documents); err != nil {
			return err
		}
	}
	return nil
}

// Build implements [search.Index].
func (i *Index) Build(context.Context) (search.Building, error) {
	i.writing.Lock()
	defer i.writing.Unlock()
	if i.building != nil {
		return nil, errors.New("a search index is being built already: wait until it is done")
	}
	i.made++
	g, err := create(filepath.Join(i.dir, fmt.Sprint("index-", i.made)))
	if err != nil {
		return nil, err
	}
	i.building = g
	return &building{i, g}, nil
}

// building implements [search.Building].
type building struct {
	index *Index
	made  *generation
}

func (b *building) Write(ctx context.Context, documents []search.Document) error {
	b.index.writing.Lock()
	defer b.index.writing.Unlock()
	return b.made.write(ctx, documents)
}

func (b *building) Use(context.Context) error {
	b.index.writing.Lock()
	defer b.index.writing.Unlock()
	if b.index.building != b.made {
		return errors.New("this search index is not being built any more")
	}
	b.index.mu.Lock()
	old := b.index.served
	b.index.served, b.index.building = b.made, nil
	b.index.mu.Unlock()
	return old.remove()
}

func (b *building) Drop(context.Context) error {
	b.index.writing.Lock()
	defer b.index.writing.Unlock()
	if b.index.building != b.made {
		return nil
	}
	b.index.building = nil
	return b.made.remove()
}

// Close leaves what is served to the next process.
func (i *Index) Close() error {
	i.writing.Lock()
	defer i.writing.Unlock()
	i.mu.Lock()
	defer i.mu.Unlock()
	err := i.building.remove()
	if i.served != nil {
		err = errors.Join(err, i.served.keep(i.dir))
	}
	i.served, i.building = nil, nil
	return errors.Join(err, i.lock.Close())
}
