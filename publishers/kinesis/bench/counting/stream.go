package counting

import (
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/events/aggregate"
)

// sequencePrefix and the 20 digits behind it make a number of 56, as the service's are.
const sequencePrefix = "495903382714902566085596925383615710"

type stream struct {
	cfg     Stream
	ids     []string // of the shards
	listing []byte   // the answer to ListShards
	born    time.Time

	mu       sync.Mutex
	counts   Counts
	sequence uint64
}

func newStream(cfg Stream) *stream {
	cfg.Shards = max(cfg.Shards, 1)
	s := &stream{cfg: cfg, born: time.Now()}
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

func (s *stream) shardOfKey(key string) int {
	if s.cfg.Shards == 1 {
		return 0
	}
	sum := md5.Sum([]byte(key)) //nolint:gosec // as above
	return s.shardOf(binary.BigEndian.Uint64(sum[:8]))
}

func (s *stream) shardOfHash(decimal string) (int, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return 0, fmt.Errorf("%q is not a hash key", decimal)
	}
	return s.shardOf(n.Rsh(n, 64).Uint64()), nil
}

func (s *stream) throttles(now time.Time) bool {
	return s.cfg.ThrottleFirst > 0 && now.Sub(s.born)/s.cfg.ThrottleFirst%2 == 1
}

const codeThrottled = "ProvisionedThroughputExceededException"

// put counts the records and answers for each.
func (s *stream) put(req *request, body int) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Requests++
	s.counts.Bytes += int64(body)
	throttled := s.throttles(time.Now())
	out := answer{Records: make([]result, len(req.Records))}
	for i := range req.Records {
		r := &req.Records[i]
		shard, err := s.route(r)
		if err != nil {
			return out, err
		}
		if throttled && shard == 0 {
			out.FailedRecordCount++
			out.Records[i] = result{ErrorCode: codeThrottled, ErrorMessage: "Rate exceeded for shard " + s.ids[0] + " in stream " + s.cfg.Name + "."}
			continue
		}
		s.sequence++
		out.Records[i] = result{SequenceNumber: fmt.Sprintf("%s%020d", sequencePrefix, s.sequence), ShardID: s.ids[shard]}
		if s.cfg.Check {
			if err := s.check(r, shard); err != nil {
				return out, err
			}
		}
	}
	s.counts.Refused += int64(out.FailedRecordCount)
	s.counts.Records += int64(len(req.Records) - out.FailedRecordCount)
	return out, nil
}

// route needs mu.
func (s *stream) route(r *record) (shard int, err error) {
	switch {
	case r.PartitionKey == "":
		return 0, errors.New("a record without partition key")
	case r.ExplicitHashKey != "":
		return s.shardOfHash(r.ExplicitHashKey)
	}
	return s.shardOfKey(r.PartitionKey), nil
}

// check needs mu.
func (s *stream) check(r *record, shard int) error {
	if !aggregate.IsAggregate(r.Data) {
		s.counts.Events++
		return nil
	}
	subs, err := aggregate.Decode(r.Data)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		s.counts.Events++
		if s.shardOfKey(sub.PartitionKey) != shard {
			s.counts.Misplaced++
		}
	}
	return nil
}
