package proxy

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/banyan-fig/banyan/events"
)

// writtenSubjects bounds what is remembered so that reads follow writes. A
// subject that falls out (the least recently active first) may read from a
// read model that has not caught up with its last write.
const writtenSubjects = 200_000

// written remembers, per subject, the position of its last write until a
// read model has shown that it applied it. Safe for concurrent use.
type written struct {
	bySubject *lru.Cache[string, events.Position]
}

func newWritten() *written {
	c, err := lru.New[string, events.Position](writtenSubjects)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &written{c}
}

func (w *written) remember(subject, header string) {
	if subject == "" || header == "" {
		return
	}
	p, err := events.ParsePosition(header)
	if err != nil {
		return
	}
	if old, ok := w.bySubject.Peek(subject); ok && p.Before(old) {
		return
	}
	w.bySubject.Add(subject, p)
}

// pending is what a read model must have applied for the subject, "" for
// nothing.
func (w *written) pending(subject string) string {
	if subject == "" {
		return ""
	}
	p, _ := w.bySubject.Get(subject)
	return p.String()
}

// caughtUp forgets the position, unless another write came meanwhile.
func (w *written) caughtUp(subject, position string) {
	if p, ok := w.bySubject.Peek(subject); ok && p.String() == position {
		w.bySubject.Remove(subject)
	}
}
