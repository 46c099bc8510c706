package kinesis

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
)

// key is what is known of one partition key while events of it are pending, and
// as long after as there is room for it: so that a key which comes often is
// checked, hashed and routed once, and two events are of one key when they have
// the same pointer.
type key struct {
	text string
	hash hashKey

	// Guarded by Publisher.mu.
	shards *shardMap // by which the lane was found
	lane   *lane
	uses   int // events that are pending, or wait for a place

	// Of the goroutine of the lane that has its events.
	request uint64 // the last one that it was put into, see packer.takeAlone
}

// keys are guarded by Publisher.mu.
type keys struct {
	known map[string]*key
	most  int // known ones before the idle are forgotten

	// Memory for new ones, so that not each is an allocation.
	slab  []key
	texts *strings.Builder
}

const (
	idleKeys     = 8192 // are remembered beside those that are in use
	keysPerSlab  = 32
	textsPerSlab = 1024 // bytes
)

func newKeys(pending int) keys {
	return keys{known: make(map[string]*key), most: pending + idleKeys}
}

// meet returns the key, which is new. It needs Publisher.mu, and lets go of it
// while it checks and hashes.
func (p *Publisher) meet(text string) (*key, error) {
	p.mu.Unlock()
	err := checkKey(text)
	hash := hashOf(text)
	p.mu.Lock()
	if err != nil {
		return nil, err
	}
	if k := p.keys.known[text]; k != nil {
		return k, nil // somebody else met it
	}
	return p.keys.add(text, hash), nil
}

// checkKey refuses what Kinesis would refuse the whole request for.
func checkKey(text string) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > events.MaxPartitionKey || !utf8.ValidString(text) {
		return fmt.Errorf("%w: partitionkey: %q is not 1 to %d characters of UTF-8",
			events.ErrMalformed, text[:min(len(text), 80)], events.MaxPartitionKey)
	}
	return nil
}

func (ks *keys) add(text string, hash hashKey) *key {
	if len(ks.known) >= ks.most {
		ks.forget()
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

// copy keeps the caller's memory free, of which text may be a small part.
func (ks *keys) copy(text string) string {
	if ks.texts == nil || ks.texts.Cap()-ks.texts.Len() < len(text) {
		ks.texts = new(strings.Builder)
		ks.texts.Grow(textsPerSlab + len(text))
	}
	start := ks.texts.Len()
	ks.texts.WriteString(text)
	return ks.texts.String()[start:]
}

// forget drops those that are not in use.
func (ks *keys) forget() {
	for text, k := range ks.known {
		if k.uses == 0 {
			delete(ks.known, text)
		}
	}
}

// laneOf needs mu.
func (p *Publisher) laneOf(k *key) *lane {
	if k.shards != p.shards {
		k.shards, k.lane = p.shards, p.lanes[p.shards.find(k.hash)]
	}
	return k.lane
}
