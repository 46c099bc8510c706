package dynamodb

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// The limits of GetRecords, and the life of an iterator.
const (
	maxRecords     = 1000
	maxRecordBytes = 1 << 20
	iteratorLife   = 15 * time.Minute
)

func checkLimit(limit *int, most int) (int, error) {
	if limit == nil {
		return most, nil
	}
	if *limit < 1 || *limit > most {
		return 0, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value between 1 and %d", *limit, most)
	}
	return *limit, nil
}

func (s *Server) streamOf(arn string) (*stream, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i := slices.IndexFunc(s.streams, func(st *stream) bool { return st.arn == arn })
	if i < 0 {
		return nil, fail("ResourceNotFoundException", "Requested resource not found: Stream: %s not found", arn)
	}
	return s.streams[i], nil
}

type describeStreamInput struct {
	StreamArn             string
	ExclusiveStartShardId string
	Limit                 *int
}

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

type shardDescription struct {
	ShardId, ParentShardId string `json:",omitempty"`
	SequenceNumberRange    sequenceRange
}

type streamDescription struct {
	StreamArn, StreamLabel, StreamStatus, StreamViewType, TableName string
	CreationRequestDateTime                                         epoch
	KeySchema                                                       keySchema
	Shards                                                          []shardDescription
}

type describeStreamOutput struct{ StreamDescription streamDescription }

func (s *Server) describeStream(in *describeStreamInput) (describeStreamOutput, error) {
	st, err := s.streamOf(in.StreamArn)
	if err != nil {
		return describeStreamOutput{}, err
	}
	if _, err := checkLimit(in.Limit, 100); err != nil {
		return describeStreamOutput{}, err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	d := streamDescription{
		StreamArn: st.arn, StreamLabel: st.label, StreamStatus: "ENABLED", StreamViewType: st.view, TableName: st.table,
		CreationRequestDateTime: epoch(st.created), KeySchema: st.keys.schema(), Shards: []shardDescription{},
	}
	if st.closed {
		d.StreamStatus = "DISABLED"
	}
	for _, sh := range st.shards {
		shard := shardDescription{ShardId: sh.id, ParentShardId: sh.parent, SequenceNumberRange: sequenceRange{StartingSequenceNumber: sequence(sh.first)}}
		if st.ended(sh) {
			shard.SequenceNumberRange.EndingSequenceNumber = sequence(sh.last)
		}
		if in.ExclusiveStartShardId < sh.id {
			d.Shards = append(d.Shards, shard)
		}
	}
	return describeStreamOutput{d}, nil
}

type shardIteratorInput struct{ StreamArn, ShardId, ShardIteratorType, SequenceNumber string }

type shardIteratorOutput struct{ ShardIterator string }

func (s *Server) getShardIterator(in *shardIteratorInput) (shardIteratorOutput, error) {
	st, err := s.streamOf(in.StreamArn)
	if err != nil {
		return shardIteratorOutput{}, err
	}
	sh, err := st.shard(in.ShardId)
	if err != nil {
		return shardIteratorOutput{}, err
	}
	number, err := st.startOf(sh, in)
	return shardIteratorOutput{s.iterator(st, sh, number)}, err
}

func (st *stream) shard(id string) (*shard, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	i := slices.IndexFunc(st.shards, func(sh *shard) bool { return sh.id == id })
	if i < 0 {
		return nil, fail("ResourceNotFoundException", "Requested resource not found: Shard does not exist")
	}
	return st.shards[i], nil
}

func (st *stream) startOf(sh *shard, in *shardIteratorInput) (int64, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch in.ShardIteratorType {
	case "TRIM_HORIZON":
		return sh.first, nil
	case "LATEST":
		return st.next, nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
	default:
		return 0, oneOf("shardIteratorType", in.ShardIteratorType+" ", "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	}
	digits, ok := strings.CutPrefix(in.SequenceNumber, firstNumber)
	number, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case in.SequenceNumber == "":
		return 0, invalid("The parameter SequenceNumber is required for the shard iterator type %s", in.ShardIteratorType)
	case !ok || err != nil || number > st.next:
		return 0, invalid("Invalid SequenceNumber: %s", in.SequenceNumber)
	case in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER":
		number++
	}
	if number < sh.first {
		return 0, fail("TrimmedDataAccessException", "The operation attempted to read past the oldest stream record in a shard.")
	}
	return number, nil
}

// iterator encodes stream, shard, position and time of making; clients must treat it as opaque.
func (s *Server) iterator(st *stream, sh *shard, number int64) string {
	raw := st.arn + "|" + sh.id + "|" + strconv.FormatInt(number, 10) + "|" + strconv.FormatInt(s.cfg.Now().UnixMilli(), 10)
	return base64.StdEncoding.EncodeToString([]byte(raw))
}

func (s *Server) parseIterator(text string) (*stream, *shard, int64, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	parts := strings.Split(string(raw), "|")
	if err != nil || len(parts) != 4 {
		return nil, nil, 0, invalid("Invalid ShardIterator")
	}
	number, err1 := strconv.ParseInt(parts[2], 10, 64)
	made, err2 := strconv.ParseInt(parts[3], 10, 64)
	if err1 != nil || err2 != nil {
		return nil, nil, 0, invalid("Invalid ShardIterator")
	}
	if s.cfg.Now().Sub(time.UnixMilli(made)) > iteratorLife {
		return nil, nil, 0, fail("ExpiredIteratorException", "The shard iterator has expired and can no longer be used to retrieve stream records.")
	}
	st, err := s.streamOf(parts[0])
	if err != nil {
		return nil, nil, 0, err
	}
	sh, err := st.shard(parts[1])
	return st, sh, number, err
}

func (s *Server) getRecords(body, out []byte) ([]byte, error) {
	var in struct {
		ShardIterator string
		Limit         *int
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return out, fail("SerializationException", "the request could not be read: %v", err)
	}
	limit, err := checkLimit(in.Limit, maxRecords)
	if err != nil {
		return out, err
	}
	st, sh, number, err := s.parseIterator(in.ShardIterator)
	if err != nil {
		return out, err
	}
	s.expireTable(st.table)
	page, next, ended := st.from(sh, number, limit, maxRecordBytes)
	out = append(out, `{"Records":[`...)
	for i := range page {
		out = st.appendRecord(comma(out, i), &page[i], s.cfg.Region)
	}
	out = append(out, ']')
	if !ended {
		out = wire.AppendString(append(out, `,"NextShardIterator":`...), s.iterator(st, sh, next))
	}
	return append(out, '}'), nil
}

// expireTable lets a table's expired items go, so that readers of its stream hear of them.
func (s *Server) expireTable(name string) {
	s.mu.RLock()
	t := s.tables[name]
	s.mu.RUnlock()
	if t != nil {
		t.expire(s.cfg.Now())
	}
}

func (st *stream) appendRecord(out []byte, r *record, region string) []byte {
	name := "MODIFY"
	switch {
	case r.old == nil:
		name = "INSERT"
	case r.new == nil:
		name = "REMOVE"
	}
	number := sequence(r.number)
	out = append(append(append(out, `{"eventID":"`...), eventID(st, r)...), `","eventName":"`...)
	out = append(append(out, name...), `","eventSource":"aws:dynamodb","eventVersion":"1.1","awsRegion":`...)
	out = wire.AppendString(out, region)
	if r.by == byExpiry {
		out = append(out, `,"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}`...)
	}
	out = append(out, `,"dynamodb":{"ApproximateCreationDateTime":`...)
	out = strconv.AppendInt(out, r.at.Unix(), 10)
	out = r.key.AppendJSON(append(out, `,"Keys":`...))
	if st.hasNew() && r.new != nil {
		out = r.new.AppendJSON(append(out, `,"NewImage":`...))
	}
	if st.hasOld() && r.old != nil {
		out = r.old.AppendJSON(append(out, `,"OldImage":`...))
	}
	out = append(append(append(out, `,"SequenceNumber":"`...), number...), `","SizeBytes":`...)
	out = appendInt(out, r.size)
	out = append(append(append(out, `,"StreamViewType":"`...), st.view...), `"}}`...)
	return out
}

// eventID is 32 hex digits that are the same each time the record is read.
func eventID(st *stream, r *record) string {
	const digits = "0123456789abcdef"
	out := make([]byte, 0, 32)
	for _, h := range []uint64{hashOf(st.arn), hashOf(st.arn + sequence(r.number))} {
		for shift := 60; shift >= 0; shift -= 4 {
			out = append(out, digits[h>>shift&15])
		}
	}
	return string(out)
}
