package measure

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/banyan-fig/banyan/events"
)

const (
	leastPayload = 100
	mostPayload  = 100_000
	// distinct is how many payloads take turns, so that no two neighbours are alike.
	distinct = 512
)

// written is the type of the events; their data is put in afterwards.
type written struct{ id, key string }

func (written) EventType() string      { return "post.published" }
func (written) EventVersion() int      { return 1 }
func (w written) Subject() string      { return "post/" + w.id }
func (w written) PartitionKey() string { return w.key }

// load is what is published: the same for every way of publishing.
type load struct {
	size     int
	keys     []string
	payloads [][]byte // JSON of that size
	events   []events.Event
}

// newLoad makes the same load for the same arguments.
func newLoad(size, keys int) (*load, error) {
	rnd := rand.New(rand.NewPCG(uint64(size), uint64(keys)))
	l := &load{size: size}
	for range keys {
		l.keys = append(l.keys, fmt.Sprintf("59b99db4%016x", rnd.Uint64()))
	}
	for i := range distinct {
		key := l.keys[i%keys]
		l.payloads = append(l.payloads, payload(rnd, size, key))
		e, err := events.New(context.Background(), "/services/posts", written{id: fmt.Sprintf("%016x", rnd.Uint64()), key: key})
		if err != nil {
			return nil, err
		}
		e.Data = l.payloads[i]
		l.events = append(l.events, e)
	}
	return l, nil
}

const letters = "abcdefghijklmnopqrstuvwxyz    "

func payload(rnd *rand.Rand, size int, author string) []byte {
	head := fmt.Sprintf(`{"postId":"%016x","authorId":"%s","text":"`, rnd.Uint64(), author)
	var b strings.Builder
	b.WriteString(head)
	for b.Len() < size-len(`"}`) {
		b.WriteByte(letters[rnd.IntN(len(letters))])
	}
	b.WriteString(`"}`)
	return []byte(b.String())
}

func (l *load) key(i int) *string    { return &l.keys[i%len(l.keys)] }
func (l *load) payload(i int) []byte { return l.payloads[i%distinct] }
func (l *load) event(i int) events.Event {
	e := l.events[i%distinct]
	e.PartitionKey = l.keys[i%len(l.keys)]
	return e
}
