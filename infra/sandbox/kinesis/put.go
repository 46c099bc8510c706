package kinesis

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

const (
	maxCallRecords = 500
	maxCallBytes   = 10 << 20
	maxKeyLength   = 256 // characters
	shardRecords   = 1000
	shardBytes     = 1 << 20
)

const codeThroughput = "ProvisionedThroughputExceededException"

type putEntry struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey string
}

func (e putEntry) size() int { return len(e.Data) + len(e.PartitionKey) }

// hash is where the entry belongs; the error is about its keys.
func (e putEntry) hash() (hashKey, error) {
	if n := utf8.RuneCountInString(e.PartitionKey); n < 1 || n > maxKeyLength {
		return hashKey{}, awsjson.Errorf("ValidationException", "PartitionKey has %d characters, not between 1 and %d", n, maxKeyLength)
	}
	if e.ExplicitHashKey == "" {
		return hashOf(e.PartitionKey), nil
	}
	h, ok := parseHashKey(e.ExplicitHashKey)
	if !ok {
		return h, awsjson.Errorf("InvalidArgumentException", "ExplicitHashKey %q is not a decimal number below 2^128", e.ExplicitHashKey)
	}
	return h, nil
}

type putRecordInput struct {
	streamRef
	putEntry
}

type putRecordOutput struct {
	ShardId        string
	SequenceNumber string
	EncryptionType string
}

type putRecordsInput struct {
	streamRef
	Records []putEntry
}

type putResult struct {
	SequenceNumber string `json:",omitempty"`
	ShardId        string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

type putRecordsOutput struct {
	FailedRecordCount int
	Records           []putResult
	EncryptionType    string
}

// put is one call's checked entries on their way into a locked stream.
type put struct {
	entries []putEntry
	hashes  []hashKey
}

func newPut(entries []putEntry) (put, error) {
	p := put{entries, make([]hashKey, len(entries))}
	for i, e := range entries {
		if e.size() > maxRecordBytes {
			return p, awsjson.Errorf("InvalidArgumentException", "record %d has %d bytes with its key, more than the %d of a record",
				i, e.size(), maxRecordBytes)
		}
		var err error
		if p.hashes[i], err = e.hash(); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (s *Server) putRecord(_ context.Context, in *putRecordInput, f fault.Fault) (*putRecordOutput, error) {
	p, err := newPut([]putEntry{in.putEntry})
	if err != nil {
		return nil, err
	}
	st, err := s.lockedForData(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	result := s.store(st, p, f)[0]
	if result.ErrorCode != "" {
		return nil, awsjson.Errorf(result.ErrorCode, "%s", result.ErrorMessage)
	}
	return &putRecordOutput{result.ShardId, result.SequenceNumber, "NONE"}, nil
}

func (s *Server) putRecords(_ context.Context, in *putRecordsInput, f fault.Fault) (*putRecordsOutput, error) {
	if err := validateCall(in.Records); err != nil {
		return nil, err
	}
	p, err := newPut(in.Records)
	if err != nil {
		return nil, err
	}
	st, err := s.lockedForData(in.streamRef)
	if err != nil {
		return nil, err
	}
	defer st.mu.Unlock()
	out := &putRecordsOutput{Records: s.store(st, p, f), EncryptionType: "NONE"}
	for _, r := range out.Records {
		if r.ErrorCode != "" {
			out.FailedRecordCount++
		}
	}
	return out, nil
}

func validateCall(entries []putEntry) error {
	if n := len(entries); n < 1 || n > maxCallRecords {
		return awsjson.Errorf("ValidationException", "Records has %d entries, not between 1 and %d", n, maxCallRecords)
	}
	total := 0
	for _, e := range entries {
		total += e.size()
	}
	if total > maxCallBytes {
		return awsjson.Errorf("InvalidArgumentException", "Records has %d bytes with keys, more than the %d of one call", total, maxCallBytes)
	}
	return nil
}

// store puts the entries one by one; each succeeds or fails for itself.
func (s *Server) store(st *stream, p put, f fault.Fault) []putResult {
	now := s.cfg.Now()
	fails := make([]bool, len(p.entries))
	if f.Kind == fault.Partial {
		fails = f.Pick(len(p.entries))
	}
	results := make([]putResult, len(p.entries))
	for i := range p.entries {
		if fails[i] {
			results[i] = putResult{ErrorCode: "InternalFailure", ErrorMessage: "Internal service failure, injected by the fault plan."}
			continue
		}
		results[i] = s.storeOne(st, now, p, i)
	}
	if f.Kind == fault.Duplicate {
		for i := range p.entries {
			s.storeOne(st, now, p, i)
		}
	}
	st.makeRoom()
	return results
}

func (s *Server) storeOne(st *stream, now time.Time, p put, i int) putResult {
	entry, sh := p.entries[i], st.route(p.hashes[i])
	if !s.cfg.Unlimited && !sh.writes.take(now, entry.size()) {
		st.throttled++
		return putResult{ErrorCode: codeThroughput, ErrorMessage: "Rate exceeded for shard " + shardID(sh.number) + " in stream " +
			st.name + " under account " + s.cfg.Account + "."}
	}
	r := record{clock: st.tick(now), key: entry.PartitionKey, data: entry.Data}
	sh.records = append(sh.records, r)
	st.bytes += int64(r.size())
	return putResult{ShardId: shardID(sh.number), SequenceNumber: formatSequence(r.clock, sh.number)}
}
