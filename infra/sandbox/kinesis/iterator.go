package kinesis

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const iteratorLife = 5 * time.Minute

// iterator is a place in a shard. Its text is opaque to clients.
type iterator struct {
	stream  string
	created int64 // of the stream, so that a namesake is not mistaken for it
	shard   int
	clock   uint64 // the next record is the first at or after it
	issued  int64  // milliseconds
}

func (it iterator) String() string {
	plain := fmt.Sprintf("%s/%d/%d/%d/%d", it.stream, it.created, it.shard, it.clock, it.issued)
	return base64.StdEncoding.EncodeToString([]byte(plain))
}

func parseIterator(s string) (it iterator, err error) {
	plain, err := base64.StdEncoding.DecodeString(s)
	name, rest, _ := strings.Cut(string(plain), "/")
	if err == nil {
		_, err = fmt.Sscanf(rest, "%d/%d/%d/%d", &it.created, &it.shard, &it.clock, &it.issued)
	}
	it.stream = name
	if err != nil || it.String() != s {
		return iterator{}, awsjson.Errorf("InvalidArgumentException", "Invalid ShardIterator.")
	}
	return it, nil
}

type getShardIteratorInput struct {
	streamRef
	ShardId                string
	ShardIteratorType      string
	StartingSequenceNumber string
	Timestamp              *awsjson.Time
}

type getShardIteratorOutput struct{ ShardIterator string }

func (s *Server) getShardIterator(_ context.Context, in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	number, err := shardNumber(in.ShardId)
	if err != nil {
		return nil, err
	}
	st, err := s.lockedForData(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	sh := st.shard(number)
	if sh == nil {
		return nil, awsjson.Errorf("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist", in.ShardId, st.name, s.cfg.Account)
	}
	now := s.cfg.Now()
	clock, err := in.start(st, sh, now)
	if err != nil {
		return nil, err
	}
	return &getShardIteratorOutput{iterator{st.name, st.created.UnixNano(), number, clock, now.UnixMilli()}.String()}, nil
}

// start is the clock of the first record wanted.
func (in *getShardIteratorInput) start(st *stream, sh *shard, now time.Time) (uint64, error) {
	switch in.ShardIteratorType {
	case "TRIM_HORIZON":
		return 0, nil
	case "LATEST":
		return st.clock + 1, nil
	case "AT_SEQUENCE_NUMBER":
		return in.startingClock(st, sh)
	case "AFTER_SEQUENCE_NUMBER":
		clock, err := in.startingClock(st, sh)
		return clock + 1, err
	case "AT_TIMESTAMP":
		return in.atTimestamp(now)
	}
	return 0, awsjson.Errorf("ValidationException", "ShardIteratorType %q is not known", in.ShardIteratorType)
}

func (in *getShardIteratorInput) startingClock(st *stream, sh *shard) (uint64, error) {
	clock, shard, ok := parseSequence(in.StartingSequenceNumber)
	if !ok || shard != sh.number || clock > st.clock {
		return 0, awsjson.Errorf("InvalidArgumentException",
			"StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s is invalid because it did not come from this shard.",
			in.StartingSequenceNumber, in.ShardId, st.name)
	}
	return clock, nil
}

func (in *getShardIteratorInput) atTimestamp(now time.Time) (uint64, error) {
	if in.Timestamp == nil {
		return 0, awsjson.Errorf("InvalidArgumentException",
			"Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
	}
	// Timestamps come in milliseconds: one that is this very millisecond is
	// not in the future.
	if in.Timestamp.UnixMilli() > now.UnixMilli() {
		return 0, awsjson.Errorf("InvalidArgumentException", "The Timestamp %s is in the future.", in.Timestamp.UTC().Format(time.RFC3339Nano))
	}
	return clockAt(in.Timestamp.Time), nil
}
