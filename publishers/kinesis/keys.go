package kinesis

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
)

// key is one partition key while events of it are pending, and afterwards for as long as
// there is room to remember it. So a frequent key is checked, hashed and routed once,
// and two events have the same key if they have the same pointer.
type key struct {
	text string
	hash hashKey

	// Guarded by Publisher.mu.
	shards *shardMap // by which the writer was found
	writer *shardWriter
	uses   int // events that are pending, or wait to be admitted

	// Owned by the goroutine of the writer that has its events.
	request uint64 // the last one that it was put into, see packer.addAlone
}

// keys are guarded by Publisher.mu.
type keys struct {
	known map[string]*key
	most  int // known keys before idle ones are evicted

	// Memory for new ones, so that not each is an allocation.
	slab  []key
	texts *strings.Builder
}

const (
	idleKeys     = 8192 // are kept besides those in use
	keysPerSlab  = 32
	textsPerSlab = 1024 // bytes
)

func newKeys(pending int) keys {
	return keys{known: make(map[string]*key), most: pending + idleKeys}
}

// addKeyLocked returns the key of text, which is not known yet. It releases
// Publisher.mu while it checks and hashes, and holds it again when it returns.
func (p *Publisher) addKeyLocked(text string) (*key, error) {
	p.mu.Unlock()
	err := checkPartitionKey(text)
	hash := hashOf(text)
	p.mu.Lock()
	if err != nil {
		return nil, err
	}
	if k := p.keys.known[text]; k != nil {
		return k, nil // another goroutine was faster
	}
	return p.keys.add(text, hash), nil
}

// checkPartitionKey refuses a key that would make Kinesis refuse the whole request.
func checkPartitionKey(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > events.MaxPartitionKey || !utf8.ValidString(text) {
		return fmt.Errorf("%w: partitionkey: %q is not 1 to %d characters of UTF-8",
			events.ErrMalformed, text[:min(len(text), 80)], events.MaxPartitionKey)
	}
	return nil
}

func (ks *keys) add(text string, hash hashKey) *key {
	if len(ks.known) >= ks.most {
		ks.evictIdle()
	}
	if len(ks.slab) == 0 {
		ks.slab = make([]key, keysPerSlab)
	}
	k := &ks.slab[0]
	ks.slab = ks.slab[1:]
	k.text, k.hash = ks.copy(text), hash
	ks.known[k.text] = k
	return k
}

// copy copies text, since it may be a small part of memory that the caller keeps.
func (ks *keys) copy(text string) string {
	if ks.texts == nil || ks.texts.Cap()-ks.texts.Len() < len(text) {
		ks.texts = new(strings.Builder)
		ks.texts.Grow(textsPerSlab + len(text))
	}
	start := ks.texts.Len()
	ks.texts.WriteString(text)
	return ks.texts.String()[start:]
}

// evictIdle drops the keys that no pending event has.
func (ks *keys) evictIdle() {
	for text, k := range ks.known {
		if k.uses == 0 {
			delete(ks.known, text)
		}
	}
}

// writerOfLocked returns the writer of the shard that k belongs to.
func (p *Publisher) writerOfLocked(k *key) *shardWriter {
	if k.shards != p.shards {
		k.shards, k.writer = p.shards, p.writers[p.shards.indexOf(k.hash)]
	}
	return k.writer
}
