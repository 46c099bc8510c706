package putrecords

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events/aggregate"
)

// API is the part of the SDK's Kinesis client that sends records.
type API interface {
	PutRecords(context.Context, *awskinesis.PutRecordsInput, ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error)
}

// Encoding is how a request is written.
type Encoding int

const (
	// JSON is the documented encoding.
	JSON Encoding = iota
	// CBOR is the encoding of Amazon's SDK for Java.
	CBOR
)

// ErrShortAnswer is returned for an answer that does not have one result for
// each record. Each of them may be in the stream.
var ErrShortAnswer = errors.New("answer does not have one result for each record")

// Request is one PutRecords. It is meant to be used again for the next, and then
// allocates little. The zero value is one in JSON, for no stream yet. Not safe
// for concurrent use.
type Request struct {
	// Encoding may be changed between two requests.
	Encoding Encoding

	stream  string
	entries []entry
	bytes   int

	client   API // that was last seen
	sdk      bool
	jsonOnly bool // it refused CBOR

	answers []Answer
}

// entry is a record: data, or an aggregate.
type entry struct {
	partitionKey    string
	explicitHashKey string
	data            []byte
	aggregate       *aggregate.Builder
}

// Answer is what became of one record. With an ErrorCode it is not in the
// stream.
type Answer struct {
	SequenceNumber string
	ShardID        string `json:"ShardId" cbor:"ShardId"`
	ErrorCode      string
	ErrorMessage   string
}

// Reset empties r, for records to that stream.
func (r *Request) Reset(stream string) {
	r.stream = stream
	clear(r.entries)
	r.entries = r.entries[:0]
	r.bytes = 0
}

// Add appends a record; an empty explicitHashKey is none. data must not change
// until Send has returned.
func (r *Request) Add(partitionKey, explicitHashKey string, data []byte) {
	r.entries = append(r.entries, entry{partitionKey, explicitHashKey, data, nil})
	r.bytes += len(partitionKey) + len(data)
}

// AddAggregate appends the record that b has put together so far. b must stay as
// it is until Send has returned.
func (r *Request) AddAggregate(partitionKey, explicitHashKey string, b *aggregate.Builder) {
	r.entries = append(r.entries, entry{partitionKey, explicitHashKey, nil, b})
	r.bytes += len(partitionKey) + b.Size()
}

// Send puts the records and returns what became of each, in their order. That
// slice is used again by the next Send. The options are for this call, after
// those of the client.
//
// Errors are the SDK's, as of its own PutRecords, or [ErrShortAnswer].
//
// A request in CBOR which the server refused as something it cannot read is sent
// once more, in JSON. Only an answer of the server itself, with a status from 400
// to 499, is such a refusal: it says that nothing was stored. When the outcome
// is unknown (no answer, or a status of 500 and above) nothing is sent again.
func (r *Request) Send(ctx context.Context, client API, options ...func(*awskinesis.Options)) ([]Answer, error) {
	r.detectProtocol(client)
	if !r.sdk {
		return r.sendPlain(ctx, options)
	}
	if r.Encoding != CBOR || r.jsonOnly {
		return r.send(ctx, JSON, options)
	}
	answers, err := r.send(ctx, CBOR, options)
	if !refusesEncoding(err) {
		return answers, err
	}
	answers, err = r.send(ctx, JSON, options)
	r.jsonOnly = !refusesEncoding(err) // else it was not the encoding
	return answers, err
}

// detectProtocol finds out how to send through a client that is new here.
func (r *Request) detectProtocol(client API) {
	if r.client == client {
		return
	}
	r.client, r.jsonOnly = client, false
	c, ok := client.(*awskinesis.Client)
	r.sdk = ok && usesJSON(c)
}

func (r *Request) send(ctx context.Context, encoding Encoding, options []func(*awskinesis.Options)) ([]Answer, error) {
	w := writers.Get().(*writer)
	defer writers.Put(w)
	w.write(r, encoding)
	call := call{request: r, encoding: encoding, body: newBody(w.body), digest: digest(w.body)}
	defer call.body.release()
	out, err := r.client.PutRecords(ctx, call.input(), append(options[:len(options):len(options)], call.option)...)
	if err != nil {
		return nil, err
	}
	return r.checked(out)
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (r *Request) checked(out *awskinesis.PutRecordsOutput) ([]Answer, error) {
	if len(r.answers) != len(r.entries) {
		return nil, fmt.Errorf("request %s: %d results for %d records: %w", requestID(out), len(r.answers), len(r.entries), ErrShortAnswer)
	}
	return r.answers, nil
}
