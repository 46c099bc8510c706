package consumers

import (
	"sync"
	"time"

	"github.com/banyan-fig/banyan/events"
)

const (
	// maxRemembered bounds the memory of unfinished batches, in messages: about 20 MB.
	maxRemembered = 100_000
	// rememberFor is longer than a mapping waits between two attempts at a batch.
	rememberFor = 15 * time.Minute
)

// memory is what a process knows of the batches that it was given: the shards that it had
// one of, and what of an unfinished batch is finished behind the message that the rest
// waits for.
type memory struct {
	mu       sync.Mutex
	shards   map[place]bool
	messages map[place]progress
}

// place is a shard or a message of one of the streams that a function may have: sequence
// numbers of two streams can be the same.
type place struct {
	stream, shard string
	events.Position
}

func (t *task) place() place      { return place{stream: t.Stream, Position: t.Message.Position} }
func (t *task) shardPlace() place { return place{stream: t.Stream, shard: t.Message.Shard} }

// progress is that of a message of a batch whose first unfinished record is head. A batch that
// begins before that is no redelivery: the stream is read anew, and all is handled anew.
type progress struct {
	head     events.Position
	at       time.Time
	finished bool
	attempts int
}

// recall marks what an earlier delivery finished as stale. It reports whether the process
// had a batch of this shard before.
func (m *memory) recall(tasks []*task, now time.Time) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.messages) > 0 {
		begin := events.Position{Sequence: tasks[0].ID}
		for _, t := range tasks {
			p, ok := m.messages[t.place()]
			if !ok {
				continue
			}
			delete(m.messages, t.place())
			if now.Sub(p.at) > rememberFor || begin.Before(p.head) {
				continue
			}
			t.attempts = p.attempts
			if p.finished {
				t.done = outcome{kind: stale}
			}
		}
	}
	return m.shards[tasks[0].shardPlace()]
}

// remember keeps what the next delivery of an unfinished batch needs. The shard is known
// unless the next batch of it may end processes as well.
func (m *memory) remember(tasks []*task, known bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards == nil || len(m.shards) > maxRemembered {
		m.shards = map[place]bool{}
	}
	m.shards[tasks[0].shardPlace()] = known
	for _, first := range firstRedelivered(tasks) {
		within := false
		for _, t := range tasks {
			within = within || t.ID == first.ID
			finished := !t.done.isRedelivered()
			if !within || t.Message.Shard != first.Message.Shard || !finished && t.attempts == 0 {
				continue
			}
			if m.messages == nil || len(m.messages) >= maxRemembered {
				m.messages = map[place]progress{}
			}
			m.messages[t.place()] = progress{events.Position{Sequence: first.ID}, now, finished, t.attempts}
		}
	}
}
