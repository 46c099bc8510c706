package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kept says what a process left behind, in the file keptFile.
type kept struct {
	Format int               `json:"format"` // of the documents: others are built anew
	Index  string            `json:"index"`  // its folder
	Sums   map[string]uint32 `json:"sums"`   // CRC-32 of each file
}

const (
	keptFile = "kept.json"
	format   = 1
)

// keepTimeout is how long the disk may take for what is in memory.
const keepTimeout = 30 * time.Second

// keep closes the index, and leaves it with its sums. If the disk is too slow it removes it.
func (g *generation) keep(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepTimeout)
	defer cancel()
	for range maxInMemory {
		if err := g.acquire(ctx); err != nil {
			return errors.Join(err, g.remove())
		}
	}
	if err := g.bleve.Close(); err != nil {
		return fmt.Errorf("close the search index: %w", err)
	}
	sums, err := sumFiles(g.path)
	if err != nil {
		return fmt.Errorf("sum up the search index: %w", err)
	}
	text, err := json.Marshal(kept{format, filepath.Base(g.path), sums})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, keptFile), text, 0o600); err != nil {
		return fmt.Errorf("keep the search index: %w", err)
	}
	return nil
}

// reopen serves what the process before left, if it is whole, and removes all else.
func (i *Index) reopen() error {
	left := i.readKept()
	entries, err := os.ReadDir(i.dir)
	if err != nil {
		return fmt.Errorf("read the directory of the search index: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockFile || e.Name() == left {
			continue
		}
		if e.Name() != keptFile && !strings.HasPrefix(e.Name(), "index-") {
			return fmt.Errorf("%s has the file %s, which is no part of a search index: give it an empty directory", i.dir, e.Name())
		}
		if err := os.RemoveAll(filepath.Join(i.dir, e.Name())); err != nil {
			return fmt.Errorf("remove what is left of a search index: %w", err)
		}
	}
	if left == "" {
		return nil
	}
	path := filepath.Join(i.dir, left)
	if i.served, err = reopen(path); err != nil { // whole, and yet of another version of bleve
		i.served = nil
		return os.RemoveAll(path)
	}
	_, err = fmt.Sscanf(left, "index-%d", &i.made)
	return err
}

// readKept returns the folder of an index that is as it was left; "" if there is none.
func (i *Index) readKept() string {
	text, err := os.ReadFile(filepath.Join(i.dir, keptFile))
	if err != nil {
		return ""
	}
	var k kept
	var n int
	if json.Unmarshal(text, &k) != nil || k.Format != format {
		return ""
	}
	if _, err := fmt.Sscanf(k.Index, "index-%d", &n); err != nil || k.Index != fmt.Sprint("index-", n) {
		return ""
	}
	sums, err := sumFiles(filepath.Join(i.dir, k.Index))
	if err != nil || !maps.Equal(sums, k.Sums) {
		return ""
	}
	return k.Index
}

func sumFiles(root string) (map[string]uint32, error) {
	sums := map[string]uint32{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		sum, err := sumFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		sums[name] = sum
		return err
	})
	return sums, err
}

func sumFile(path string) (sum uint32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := crc32.NewIEEE()
	if _, err := io.Copy(hash, f); err != nil {
		return 0, err
	}
	return hash.Sum32(), nil
}
