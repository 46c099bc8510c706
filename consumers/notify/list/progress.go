package list

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/filelock"
)

// Span is a part of the list, in bytes of its text.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Progress is what the progress file has.
type Progress struct {
	// List (SHA-256), Template and Delivery are what it is bound to.
	List     string `json:"list"`
	Template string `json:"template"`
	Delivery string `json:"delivery"`
	// Batch is how many lines the batches have: what is done is only known by them.
	Batch int `json:"batch"`
	// Started is when the list was sent first.
	Started time.Time `json:"started"`
	// Position: everything before it is done.
	Position int64 `json:"position"`
	// Done are the batches that are done beyond Position, ascending.
	Done []Span `json:"done,omitempty"`
	// Begun: nothing beyond it has been sent.
	Begun int64 `json:"begun"`
	// Uncertain are the batches of an at-most-once template that a process left half done.
	Uncertain []Span `json:"uncertain,omitempty"`
	// Results counts recipients by what became of them.
	Results map[string]int64 `json:"results"`
	// Complete says that there is nothing left to do.
	Complete bool `json:"complete"`
}

// done reports whether a batch needs nothing more.
func (p *Progress) done(s Span) bool {
	return s.To <= p.Position || slices.ContainsFunc(p.Done, func(d Span) bool { return d.From <= s.From && s.To <= d.To })
}

// finish adds a batch that is done.
func (p *Progress) finish(s Span) {
	i, _ := slices.BinarySearchFunc(p.Done, s, func(a, b Span) int { return int(a.From - b.From) })
	p.Done = slices.Insert(p.Done, i, s)
	for len(p.Done) > 0 && p.Done[0].From <= p.Position {
		p.Position = max(p.Position, p.Done[0].To)
		p.Done = p.Done[1:]
	}
}

// giveUp makes everything that was begun and is not done uncertain.
func (p *Progress) giveUp() {
	from := p.Position
	for _, d := range append(slices.Clone(p.Done), Span{p.Begun, p.Begun}) {
		if d.From > from {
			p.Uncertain = append(p.Uncertain, Span{from, d.From})
		}
		from = max(from, d.To)
	}
	p.Position, p.Done = max(p.Position, p.Begun), nil
}

// ledger keeps the progress in its file. Changes are written together: as soon as one
// write has ended the next one begins, with everything since.
type ledger struct {
	path string
	lock *os.File
	ends sync.WaitGroup

	mu        sync.Mutex
	changed   *sync.Cond
	progress  Progress
	at, saved int // of changes
	closed    bool
	failure   error
}

// openLedger reads the progress file, or begins one, and keeps other processes from it.
func openLedger(path string, fresh Progress) (*ledger, error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	l := &ledger{path: path, lock: lock, progress: fresh}
	l.changed = sync.NewCond(&l.mu)
	locked, err := filelock.Try(lock)
	if err == nil && !locked {
		err = errors.New("another process is sending this list")
	}
	if err == nil {
		err = l.read(fresh)
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("progress file %s: %w", path, err)
	}
	l.ends.Go(l.write)
	return l, nil
}

func (l *ledger) read(fresh Progress) error {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l.progress)
	}
	p := &l.progress
	switch {
	case err != nil:
		return err
	case p.List != fresh.List:
		return errors.New("it is of a list with other content: the list was edited, or it is another; send it with a progress file of its own")
	case p.Template != fresh.Template:
		return fmt.Errorf("it is of the template %s: send %s with a progress file of its own", p.Template, fresh.Template)
	case p.Complete:
		return errors.New("the list has been sent; to send it once more, use another progress file")
	case p.Results == nil:
		p.Results = map[string]int64{}
	}
	if p.Delivery != fresh.Delivery {
		return fmt.Errorf("the template was %s when the list was begun, and is %s now", p.Delivery, fresh.Delivery)
	}
	return nil
}

// update changes the progress, and returns what wait takes.
func (l *ledger) update(f func(*Progress)) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.progress)
	l.at++
	l.changed.Broadcast()
	return l.at
}

// wait returns when a change is on the disk, or nothing is written any more.
func (l *ledger) wait(change int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.saved < change && l.failure == nil {
		l.changed.Wait()
	}
	return l.failure
}

// view is a copy of the progress.
func (l *ledger) view() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.copyLocked()
}

func (l *ledger) copyLocked() Progress {
	p := l.progress
	p.Done, p.Uncertain, p.Results = slices.Clone(p.Done), slices.Clone(p.Uncertain), maps.Clone(p.Results)
	return p
}

func (l *ledger) write() {
	for {
		l.mu.Lock()
		for l.saved == l.at && !l.closed {
			l.changed.Wait()
		}
		at, p := l.at, l.copyLocked()
		over := l.saved == at
		l.mu.Unlock()
		if over {
			return
		}
		text, err := json.MarshalIndent(p, "", "  ")
		if err == nil {
			err = filelock.Replace(l.path, append(text, '\n'))
		}
		l.mu.Lock()
		l.saved = at
		if err != nil {
			l.failure = fmt.Errorf("write the progress file %s: %w", l.path, err)
		}
		failed := l.failure != nil
		l.changed.Broadcast()
		l.mu.Unlock()
		if failed {
			return
		}
	}
}

// close writes what is not written, and lets other processes go on.
func (l *ledger) close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	l.ends.Wait()
	return errors.Join(l.failure, l.lock.Close())
}
