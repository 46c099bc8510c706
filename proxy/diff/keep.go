package diff

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/banyan-fig/banyan/infra/filelock"
)

// A Keeper keeps the ledgers of a Book in a file, which is replaced as a whole: a process that
// is killed loses what it counted since the last time. Make it with [Book.Keep].
type Keeper struct {
	book    *Book
	path    string
	log     *slog.Logger
	lock    *os.File
	mine    bool   // the file is this process's, and what was in it is in the book
	written []byte // what was written last

	stop, done chan struct{}
}

// Keep adds what the file has to the ledgers of the book whose Use was told what that is of; the
// rest is dropped. From then on it writes them every so often where they have changed, until
// Close. While another process has the file, such as the one that this one replaces, it waits
// for that one's end, which is no error. What goes wrong later is logged.
//
// The folder of path exists, and holds a lock, path.lock, beside it. The file is as long as its
// ledgers: some KB a route, 100 KB at most.
func (b *Book) Keep(path string, every time.Duration, log *slog.Logger) (*Keeper, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep comparisons: %w", err)
	}
	k := &Keeper{book: b, path: path, log: log, lock: lock, stop: make(chan struct{}), done: make(chan struct{})}
	if err := k.save(); err != nil {
		lock.Close()
		return nil, err
	}
	if !k.mine {
		log.Warn("comparisons are kept in memory alone while another process has their file", "file", path)
	}
	go k.run(every)
	return k, nil
}

// Close writes the ledgers a last time and gives the file to the next process.
func (k *Keeper) Close() error {
	close(k.stop)
	<-k.done
	defer k.lock.Close()
	return k.save()
}

func (k *Keeper) run(every time.Duration) {
	defer close(k.done)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-tick.C:
			if err := k.save(); err != nil {
				k.log.Error("comparisons would be lost at a restart", "error", err.Error())
			}
		}
	}
}

// save writes the ledgers, once the file is this process's.
func (k *Keeper) save() error {
	if !k.mine {
		locked, err := filelock.Try(k.lock)
		if err == nil && locked {
			err = k.load()
		}
		if err != nil || !locked {
			return err
		}
		k.mine = true
	}
	reports := map[string]Report{}
	for _, route := range k.book.Routes() {
		reports[route] = k.book.Of(route).Report()
	}
	src, err := json.Marshal(reports)
	if err == nil && !bytes.Equal(src, k.written) {
		err = filelock.Replace(k.path, src)
	}
	if err != nil {
		return fmt.Errorf("keep comparisons: %w", err)
	}
	k.written = src
	return nil
}

// load adds what the process before this one has left.
func (k *Keeper) load() error {
	src, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var left map[string]Report
	if err == nil {
		err = json.Unmarshal(src, &left)
	}
	if err != nil {
		return fmt.Errorf("read the comparisons that were kept: %s: %w; move the file away, and it is written anew", k.path, err)
	}
	for _, route := range k.book.Routes() {
		r, ok := left[route]
		if ok && k.book.Of(route).Merge(r) != nil {
			k.log.Warn("the comparisons of a route begin anew: the file has those of other rules, another mapping or other sides", "route", route)
		}
	}
	return nil
}
