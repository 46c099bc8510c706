package sqs

import (
	"container/heap"
	"slices"
	"sync"
	"time"
)

// queue is one queue's messages and settings, guarded by mu.
type queue struct {
	name     string
	created  time.Time
	maxBytes int64

	mu       sync.Mutex
	settings settings
	messages map[string]*message // by id
	order    byVisibility
	issued   uint64
	bytes    int64
	arrival  chan struct{} // closed and replaced when a message becomes visible early
	fifo     *fifo         // nil of a standard queue
}

// message is in one queue at a time.
type message struct {
	id         string
	body       string
	bodyMD5    string
	attributes map[string]messageAttribute
	sent       time.Time
	source     string // ARN of the queue it is a dead letter of
	group      string
	duplicates string // its deduplication id, in a FIFO queue

	number    uint64 // for the order among equals
	visibleAt time.Time
	received  int
	first     time.Time // of the receives
	inFlight  bool      // received and not yet visible again
	survives  bool      // the next delete has no effect, injected
	index     int       // in the heap
}

func newQueue(name string, now time.Time, s settings, maxBytes int64) *queue {
	q := &queue{name: name, created: now, settings: s, maxBytes: maxBytes,
		messages: map[string]*message{}, arrival: make(chan struct{})}
	if isFIFO(name) {
		q.fifo = &fifo{sent: map[string]sentMessage{}}
	}
	return q
}

// add takes a message in, or reports that the queue is full.
func (q *queue) add(m *message, visibleAt time.Time) bool {
	if q.bytes+m.size() > q.maxBytes {
		return false
	}
	q.issued++
	m.number, m.visibleAt, m.inFlight = q.issued, visibleAt, false
	q.messages[m.id] = m
	q.bytes += m.size()
	heap.Push(&q.order, m)
	if q.fifo != nil {
		q.fifo.inOrder = append(q.fifo.inOrder, m)
	}
	q.wake()
	return true
}

func (q *queue) remove(m *message) {
	delete(q.messages, m.id)
	q.bytes -= m.size()
	heap.Remove(&q.order, m.index)
	if q.fifo != nil {
		i := slices.Index(q.fifo.inOrder, m)
		q.fifo.inOrder = slices.Delete(q.fifo.inOrder, i, i+1)
		q.wake() // the next of the group
	}
}

// move changes when a message is visible.
func (q *queue) move(m *message, visibleAt time.Time) {
	m.visibleAt = visibleAt
	heap.Fix(&q.order, m.index)
}

// wake lets those who wait for messages look again.
func (q *queue) wake() {
	close(q.arrival)
	q.arrival = make(chan struct{})
}

// take receives the next visible message, if there is one. Messages whose
// retention has passed are dropped on the way; those received too often are
// handed to dead.
func (q *queue) take(now time.Time, visibility time.Duration, dead func(*message)) *message {
	for len(q.order) > 0 && !q.order[0].visibleAt.After(now) {
		m := q.order[0]
		switch {
		case q.expired(m, now):
			q.remove(m)
		case q.isDead(m, dead):
			q.remove(m)
			dead(m)
		default:
			q.receive(m, now, visibility)
			return m
		}
	}
	return nil
}

func (q *queue) isDead(m *message, dead func(*message)) bool {
	return dead != nil && m.received >= q.settings.redrive.MaxReceiveCount
}

func (q *queue) receive(m *message, now time.Time, visibility time.Duration) {
	m.received++
	m.inFlight = true
	if m.received == 1 {
		m.first = now
	}
	// A timeout of 0 still hides it from the receive that takes it.
	q.move(m, now.Add(max(visibility, 1)))
}

func (q *queue) expired(m *message, now time.Time) bool {
	return now.Sub(m.sent) >= q.settings.retention
}

// count sorts the messages into visible, in flight and delayed.
func (q *queue) count(now time.Time) (visible, inFlight, delayed int) {
	for _, m := range q.messages {
		switch {
		case q.expired(m, now):
		case !m.visibleAt.After(now):
			visible++
		case m.inFlight:
			inFlight++
		default:
			delayed++
		}
	}
	return visible, inFlight, delayed
}

// byVisibility is a heap, the next visible message first.
type byVisibility []*message

func (h byVisibility) Len() int { return len(h) }

func (h byVisibility) Less(i, j int) bool {
	if c := h[i].visibleAt.Compare(h[j].visibleAt); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}

func (h byVisibility) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *byVisibility) Push(x any) {
	m := x.(*message)
	m.index = len(*h)
	*h = append(*h, m)
}

// Pop implements heap.Interface.
func (h *byVisibility) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}
