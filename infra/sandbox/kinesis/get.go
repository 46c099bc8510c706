package kinesis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const (
	maxGetRecords = 10_000
	maxGetBytes   = 10 << 20
)

type getRecordsInput struct {
	ShardIterator string
	Limit         *int
	StreamARN     string
}

// Resource implements awsjson.Resourceful.
func (in getRecordsInput) Resource() string {
	it, _ := parseIterator(in.ShardIterator)
	return it.stream
}

type childShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange hashRange
}

// getRecordsOutput writes its own JSON: with thousands of records the general
// encoder would dominate the sandbox.
type getRecordsOutput struct {
	shard    int
	records  []record
	next     string // "" at the shard's end
	behind   int64  // milliseconds
	children []childShard
}

func (s *Server) getRecords(_ context.Context, in *getRecordsInput, f fault.Fault) (*getRecordsOutput, error) {
	limit, err := limitOf("Limit", in.Limit, maxGetRecords, maxGetRecords)
	if err != nil {
		return nil, err
	}
	it, err := parseIterator(in.ShardIterator)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	if now.Sub(time.UnixMilli(it.issued)) > iteratorLife {
		return nil, awsjson.Errorf("ExpiredIteratorException",
			"Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
			time.UnixMilli(it.issued).UTC(), now.UTC(), iteratorLife.Milliseconds())
	}
	st, sh, err := s.lockedShard(it)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	if f.Kind == fault.Late {
		limit = 0
	}
	return read(st, sh, it, limit, now), nil
}

func (s *Server) lockedShard(it iterator) (*stream, *shard, error) {
	st, err := s.lockedForData(streamRef{StreamName: it.stream})
	if err != nil {
		return nil, nil, err
	}
	sh := st.shard(it.shard)
	if sh == nil || st.created.UnixNano() != it.created {
		defer st.mu.Unlock()
		return nil, nil, awsjson.Errorf("ResourceNotFoundException", "Shard %s in stream %s under account %s does not exist any more",
			shardID(it.shard), it.stream, s.cfg.Account)
	}
	return st, sh, nil
}

func read(st *stream, sh *shard, it iterator, limit int, now time.Time) *getRecordsOutput {
	unread := sh.records[sh.from(it.clock):]
	n := batch(unread, limit)
	out := &getRecordsOutput{shard: sh.number, records: slices.Clone(unread[:n])}
	if n < len(unread) {
		out.behind = max(0, now.UnixMilli()-int64(unread[n].clock/1e6))
	} else if !sh.isOpen() {
		out.children = st.children(sh.number)
		return out
	}
	it.issued = now.UnixMilli()
	if n > 0 {
		it.clock = unread[n-1].clock + 1
	}
	out.next = it.String()
	return out
}

// batch is how many of the records go into one answer: at most limit and 10 MiB.
func batch(records []record, limit int) (n int) {
	for bytes := 0; n < len(records) && n < limit; n++ {
		if bytes += records[n].size(); n > 0 && bytes > maxGetBytes {
			break
		}
	}
	return n
}

func (st *stream) children(parent int) []childShard {
	var out []childShard
	for _, sh := range st.shards {
		if !sh.hasParent(parent) {
			continue
		}
		child := childShard{ShardId: shardID(sh.number), HashKeyRange: hashRange{sh.first.String(), sh.last.String()}}
		for _, p := range []*int{sh.parent, sh.adjacent} {
			if p != nil {
				child.ParentShards = append(child.ParentShards, shardID(*p))
			}
		}
		out = append(out, child)
	}
	return out
}

func (sh *shard) hasParent(number int) bool {
	return sh.parent != nil && *sh.parent == number || sh.adjacent != nil && *sh.adjacent == number
}

// AppendJSON implements awsjson.Appender.
func (out *getRecordsOutput) AppendJSON(b []byte) []byte {
	b = slices.Grow(b, out.encodedSize())
	b = append(b, `{"Records":[`...)
	for i, r := range out.records {
		if i > 0 {
			b = append(b, ',')
		}
		b = r.appendJSON(b, out.shard)
	}
	b = append(b, `],"MillisBehindLatest":`...)
	b = strconv.AppendInt(b, out.behind, 10)
	if out.next != "" {
		b = append(b, `,"NextShardIterator":`...)
		b = appendValue(b, out.next)
	}
	if out.children != nil {
		b = append(b, `,"ChildShards":`...)
		b = appendValue(b, out.children)
	}
	return append(b, '}')
}

func (r record) appendJSON(b []byte, shard int) []byte {
	b = append(b, `{"SequenceNumber":"`...)
	b = appendSequence(b, r.clock, shard)
	b = append(b, `","ApproximateArrivalTimestamp":`...)
	b = awsjson.At(time.Unix(0, int64(r.clock))).AppendJSON(b)
	b = append(b, `,"PartitionKey":`...)
	b = appendValue(b, r.key)
	b = append(b, `,"Data":"`...)
	b = base64.StdEncoding.AppendEncode(b, r.data)
	return append(b, `"}`...)
}

// AppendCBOR implements awsjson.CBORAppender.
func (out *getRecordsOutput) AppendCBOR(b []byte) []byte {
	answer := struct {
		Records            []cborRecord
		MillisBehindLatest int64
		NextShardIterator  string       `json:",omitempty"`
		ChildShards        []childShard `json:",omitempty"`
	}{make([]cborRecord, len(out.records)), out.behind, out.next, out.children}
	for i, r := range out.records {
		answer.Records[i] = cborRecord{string(appendSequence(nil, r.clock, out.shard)), awsjson.At(time.Unix(0, int64(r.clock))), r.key, r.data}
	}
	text, err := cbor.Marshal(answer)
	if err != nil {
		panic(err) // plain structs always encode
	}
	return append(b, text...)
}

type cborRecord struct {
	SequenceNumber              string
	ApproximateArrivalTimestamp *awsjson.Time
	PartitionKey                string
	Data                        []byte
}

func (out *getRecordsOutput) encodedSize() int {
	size := 1024
	for _, r := range out.records {
		size += 160 + 2*len(r.key) + base64.StdEncoding.EncodedLen(len(r.data))
	}
	return size
}

// appendValue is for strings and plain structs of strings, which always encode.
func appendValue(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return append(b, text...)
}
