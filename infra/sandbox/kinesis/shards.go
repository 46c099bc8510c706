package kinesis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const shardPrefix = "shardId-"

func shardID(number int) string { return fmt.Sprintf("%s%012d", shardPrefix, number) }

// shardNumber reads a shard id.
func shardNumber(id string) (int, error) {
	digits, ok := strings.CutPrefix(id, shardPrefix)
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || shardID(int(n)) != id {
		return 0, awsjson.Errorf("ResourceNotFoundException", "Could not find shard %s: not a shard id of this stream.", id)
	}
	return int(n), nil
}

// optionalShardNumber is shardNumber with -1 for "".
func optionalShardNumber(id string) (int, error) {
	if id == "" {
		return -1, nil
	}
	return shardNumber(id)
}

type hashRange struct{ StartingHashKey, EndingHashKey string }

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardOutput struct {
	ShardId               string
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          hashRange
	SequenceNumberRange   sequenceRange
}

func (sh *shard) describe() shardOutput {
	out := shardOutput{
		ShardId:               shardID(sh.number),
		ParentShardId:         optionalID(sh.parent),
		AdjacentParentShardId: optionalID(sh.adjacent),
		HashKeyRange:          hashRange{sh.first.String(), sh.last.String()},
		SequenceNumberRange:   sequenceRange{StartingSequenceNumber: formatSequence(sh.opened, sh.number)},
	}
	if !sh.isOpen() {
		out.SequenceNumberRange.EndingSequenceNumber = formatSequence(sh.closed, sh.number)
	}
	return out
}

func optionalID(number *int) string {
	if number == nil {
		return ""
	}
	return shardID(*number)
}

// page describes at most limit shards with numbers above after.
func page(shards []*shard, after, limit int) (out []shardOutput, more bool) {
	out = []shardOutput{}
	for _, sh := range shards {
		switch {
		case sh.number <= after:
		case len(out) == limit:
			return out, true
		default:
			out = append(out, sh.describe())
		}
	}
	return out, false
}

type shardFilter struct {
	Type, ShardId string
	Timestamp     *awsjson.Time
}

type listShardsInput struct {
	streamRef
	NextToken               string
	MaxResults              *int
	ExclusiveStartShardId   string
	StreamCreationTimestamp *awsjson.Time
	ShardFilter             *shardFilter
}

type listShardsOutput struct {
	Shards    []shardOutput
	NextToken string `json:",omitempty"`
}

// shardsToken is what a NextToken of ListShards carries.
type shardsToken struct {
	Stream string
	After  int
	Filter *shardFilter
	Issued int64
}

const tokenLife = 300 * time.Second

func (s *Server) listShards(_ context.Context, in *listShardsInput) (*listShardsOutput, error) {
	limit, err := limitOf("MaxResults", in.MaxResults, 1000, 10_000)
	if err != nil {
		return nil, err
	}
	token, err := s.startOfList(in)
	if err != nil {
		return nil, err
	}
	st, err := s.locked(streamRef{StreamName: token.Stream})
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	if at := in.StreamCreationTimestamp; at != nil && at.UnixMilli() != st.created.UnixMilli() {
		return nil, s.notFound(token.Stream)
	}
	chosen, err := st.filter(token.Filter)
	if err != nil {
		return nil, err
	}
	shards, more := page(chosen, token.After, limit)
	out := &listShardsOutput{Shards: shards}
	if more {
		token.After, _ = shardNumber(shards[limit-1].ShardId)
		out.NextToken = s.seal(token)
	}
	return out, nil
}

// startOfList is where a ListShards call begins: as its token says, or as its
// parameters do.
func (s *Server) startOfList(in *listShardsInput) (shardsToken, error) {
	if in.NextToken == "" {
		after, err := optionalShardNumber(in.ExclusiveStartShardId)
		if err == nil && in.name() == "" {
			err = awsjson.Errorf("InvalidArgumentException", "either NextToken or StreamName or StreamARN must be given")
		}
		if err == nil && in.StreamARN != "" && in.StreamARN != s.arn(in.name()) {
			err = s.notFound(in.StreamARN)
		}
		return shardsToken{Stream: in.name(), After: after, Filter: in.ShardFilter}, err
	}
	if in.StreamName != "" || in.ExclusiveStartShardId != "" || in.StreamCreationTimestamp != nil || in.ShardFilter != nil {
		return shardsToken{}, awsjson.Errorf("InvalidArgumentException",
			"NextToken and StreamName, StreamCreationTimestamp, ExclusiveStartShardId or ShardFilter cannot be given together")
	}
	return s.unseal(in.NextToken)
}

func (s *Server) seal(t shardsToken) string {
	t.Issued = s.cfg.Now().UnixMilli()
	b, err := json.Marshal(t)
	if err != nil {
		panic(err) // a plain struct of strings and numbers
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *Server) unseal(token string) (t shardsToken, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil || t.Stream == "" {
		return t, awsjson.Errorf("InvalidArgumentException", "NextToken is not one that ListShards returned")
	}
	if s.cfg.Now().Sub(time.UnixMilli(t.Issued)) > tokenLife {
		return t, awsjson.Errorf("ExpiredNextTokenException", "NextToken is older than %s: begin again without it", tokenLife)
	}
	return t, nil
}

// filter chooses the shards a ShardFilter asks for; all of them without one.
func (st *stream) filter(f *shardFilter) ([]*shard, error) {
	switch {
	case f == nil:
		return st.shards, nil
	case f.Type != "AT_LATEST":
		return nil, awsjson.NotImplemented("ShardFilter of type " + f.Type)
	}
	return slices.DeleteFunc(slices.Clone(st.shards), func(sh *shard) bool { return !sh.isOpen() }), nil
}
