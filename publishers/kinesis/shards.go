package kinesis

import (
	"context"
	"crypto/md5" //nolint:gosec // Kinesis routes by MD5
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// hashKey is a point of the 128 bits that the shards of a stream share.
type hashKey struct{ hi, lo uint64 }

// hashOf returns the hash key that Kinesis routes a partition key by.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey)) //nolint:gosec // as above
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

func parseHashKey(decimal string) (hashKey, error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return hashKey{}, fmt.Errorf("%q is not a hash key: must be a decimal number below 2^128", decimal)
	}
	var b [16]byte
	n.FillBytes(b[:])
	return hashKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}, nil
}

func (h hashKey) compare(g hashKey) int {
	switch {
	case h == g:
		return 0
	case h.hi < g.hi || h.hi == g.hi && h.lo < g.lo:
		return -1
	}
	return 1
}

// successor wraps around to zero behind the last one.
func (h hashKey) successor() hashKey {
	h.lo++
	if h.lo == 0 {
		h.hi++
	}
	return h
}

type shard struct {
	id          string
	first, last hashKey
	firstText   string // first in decimal, for ExplicitHashKey
}

func (s *shard) contains(h hashKey) bool {
	return s.first.compare(h) <= 0 && h.compare(s.last) <= 0
}

func (s *shard) overlaps(t *shard) bool {
	return s.first.compare(t.last) <= 0 && t.first.compare(s.last) <= 0
}

// shardMap is what ListShards returned at one time. It does not change.
type shardMap struct {
	open []shard          // sorted, without gaps, covering everything
	all  map[string]shard // the closed ones too
}

var errGaps = errors.New("the open shards do not cover all hash keys")

func newShardMap(listed []types.Shard) (*shardMap, error) {
	m := &shardMap{all: make(map[string]shard, len(listed))}
	for _, s := range listed {
		sh, open, err := readShard(s)
		if err != nil {
			return nil, err
		}
		m.all[sh.id] = sh
		if open {
			m.open = append(m.open, sh)
		}
	}
	slices.SortFunc(m.open, func(a, b shard) int { return a.first.compare(b.first) })
	return m, m.check()
}

func readShard(s types.Shard) (sh shard, open bool, err error) {
	if s.ShardId == nil || s.HashKeyRange == nil || s.HashKeyRange.StartingHashKey == nil ||
		s.HashKeyRange.EndingHashKey == nil || s.SequenceNumberRange == nil {
		return sh, false, errors.New("ListShards returned a shard without id or ranges")
	}
	sh = shard{id: *s.ShardId, firstText: *s.HashKeyRange.StartingHashKey}
	if sh.first, err = parseHashKey(*s.HashKeyRange.StartingHashKey); err != nil {
		return sh, false, fmt.Errorf("shard %s: %w", sh.id, err)
	}
	if sh.last, err = parseHashKey(*s.HashKeyRange.EndingHashKey); err != nil {
		return sh, false, fmt.Errorf("shard %s: %w", sh.id, err)
	}
	return sh, s.SequenceNumberRange.EndingSequenceNumber == nil, nil
}

// check refuses gaps and overlaps, which a listing during a reshard may have.
func (m *shardMap) check() error {
	expected := hashKey{}
	for i, s := range m.open {
		if s.first != expected || s.last.compare(s.first) < 0 || i > 0 && s.first == (hashKey{}) {
			return errGaps
		}
		expected = s.last.successor()
	}
	if len(m.open) == 0 || expected != (hashKey{}) {
		return errGaps
	}
	return nil
}

// indexOf returns the index of the open shard that h belongs to.
func (m *shardMap) indexOf(h hashKey) int {
	i, _ := slices.BinarySearchFunc(m.open, h, func(s shard, h hashKey) int { return s.last.compare(h) })
	return i
}

// maxShardPages bounds a listing that never ends: 1,000 shards a page.
const maxShardPages = 1000

// listShards lists the shards once, page by page.
func (p *Publisher) listShards(ctx context.Context) (*shardMap, error) {
	var listed []types.Shard
	input := &awskinesis.ListShardsInput{StreamName: &p.cfg.Stream}
	for range maxShardPages {
		out, err := p.listPage(ctx, input)
		if err != nil {
			return nil, p.target.explain("list the shards of", err)
		}
		listed = append(listed, out.Shards...)
		if out.NextToken == nil {
			m, err := newShardMap(listed)
			if err != nil {
				return nil, p.target.explain("list the shards of", err)
			}
			return m, nil
		}
		input = &awskinesis.ListShardsInput{NextToken: out.NextToken}
	}
	return nil, p.target.explain("list the shards of", fmt.Errorf("more than %d pages", maxShardPages))
}

func (p *Publisher) listPage(ctx context.Context, input *awskinesis.ListShardsInput) (*awskinesis.ListShardsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AttemptTimeout)
	defer cancel()
	return p.cfg.Client.ListShards(ctx, input, oneAttempt)
}

// listAttempts is how often New tries to list the shards.
const listAttempts = 5

// listShardsWithRetry tries a few times, since a stream may be throttled for the moment
// or just be resharding.
func (p *Publisher) listShardsWithRetry(ctx context.Context) (*shardMap, error) {
	for attempt := 0; ; attempt++ {
		m, err := p.listShards(ctx)
		if err == nil || attempt == listAttempts-1 || classify(err) == outcomeRefused {
			return m, err
		}
		if p.cfg.retryDelays().Wait(ctx, attempt) != nil {
			return nil, err
		}
	}
}
