package counting

import (
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/bits"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/events/aggregate"
)

// mostHashKeys bounds how many explicit hash keys a stream remembers.
const mostHashKeys = 1024

type stream struct {
	cfg     Stream
	ids     []string // of the shards
	listing []byte   // the answer to ListShards
	born    time.Time

	mu       sync.Mutex
	counts   Counts
	sequence uint64
	hashKeys map[string]int // the shards of explicit hash keys seen
}

func newStream(cfg Stream) *stream {
	cfg.Shards = max(cfg.Shards, 1)
	s := &stream{cfg: cfg, born: time.Now(), hashKeys: make(map[string]int)}
	for i := range cfg.Shards {
		s.ids = append(s.ids, fmt.Sprintf("shardId-%012d", i))
	}
	s.listing = s.list()
	return s
}

func (s *stream) snapshot() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

func (s *stream) list() []byte {
	type span struct{ StartingHashKey, EndingHashKey string }
	type numbers struct{ StartingSequenceNumber string }
	type shard struct {
		ShardId             string //nolint:revive // the name on the wire
		HashKeyRange        span
		SequenceNumberRange numbers
	}
	var shards []shard
	for i, id := range s.ids {
		last := new(big.Int).Sub(s.firstHash(i+1), big.NewInt(1))
		shards = append(shards, shard{id, span{s.firstHash(i).String(), last.String()}, numbers{sequencePrefix + fmt.Sprintf("%020d", 0)}})
	}
	text, _ := json.Marshal(map[string]any{"Shards": shards})
	return text
}

// firstHash is where shard i begins: the least hash key whose upper half times
// the number of shards reaches i, see shardOf.
func (s *stream) firstHash(i int) *big.Int {
	n := big.NewInt(int64(s.cfg.Shards))
	first := new(big.Int).Lsh(big.NewInt(int64(i)), 64)
	first.Add(first, new(big.Int).Sub(n, big.NewInt(1))).Div(first, n)
	return first.Lsh(first, 64)
}

// shardOf takes the upper half of a hash key.
func (s *stream) shardOf(upper uint64) int {
	i, _ := bits.Mul64(upper, uint64(s.cfg.Shards))
	return int(i)
}

func (s *stream) shardOfKey(key []byte) int {
	if s.cfg.Shards == 1 {
		return 0
	}
	sum := md5.Sum(key) //nolint:gosec // as above
	return s.shardOf(binary.BigEndian.Uint64(sum[:8]))
}

// shardOfHash needs mu.
func (s *stream) shardOfHash(decimal []byte) (int, error) {
	if i, ok := s.hashKeys[string(decimal)]; ok {
		return i, nil
	}
	n, ok := new(big.Int).SetString(string(decimal), 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return 0, fmt.Errorf("%q is not a hash key", decimal)
	}
	if len(s.hashKeys) == mostHashKeys {
		clear(s.hashKeys)
	}
	i := s.shardOf(n.Rsh(n, 64).Uint64())
	s.hashKeys[string(decimal)] = i
	return i, nil
}

func (s *stream) throttles(now time.Time) bool {
	return s.cfg.ThrottleFirst > 0 && now.Sub(s.born)/s.cfg.ThrottleFirst%2 == 1
}

// put counts the records and appends the answer to dst.
func (s *stream) put(dst []byte, req *request, body int, asCBOR bool) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	s.counts.Bytes += int64(body)
	throttled := s.throttles(time.Now())
	refused := 0
	for i := range req.records {
		r := &req.records[i]
		if err := s.route(r); err != nil {
			return dst, err
		}
		if r.refused = throttled && r.shard == 0; r.refused {
			refused++
			continue
		}
		s.sequence++
		r.sequence = s.sequence
		if s.cfg.Check {
			if err := s.check(r); err != nil {
				return dst, err
			}
		}
	}
	s.counts.Refused += int64(refused)
	s.counts.Records += int64(len(req.records) - refused)
	if asCBOR {
		return s.answerCBOR(dst, req.records, refused), nil
	}
	return s.answerJSON(dst, req.records, refused), nil
}

func (s *stream) route(r *record) (err error) {
	if len(r.key) == 0 {
		return fmt.Errorf("a record without partition key")
	}
	if len(r.explicit) > 0 {
		r.shard, err = s.shardOfHash(r.explicit)
		return err
	}
	r.shard = s.shardOfKey(r.key)
	return nil
}

// check needs mu.
func (s *stream) check(r *record) error {
	data, err := r.bytes()
	if err != nil {
		return err
	}
	if !aggregate.IsAggregate(data) {
		s.counts.Events++
		return nil
	}
	subs, err := aggregate.Decode(data)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		s.counts.Events++
		if s.shardOfKey([]byte(sub.PartitionKey)) != r.shard {
			s.counts.Misplaced++
		}
	}
	return nil
}
