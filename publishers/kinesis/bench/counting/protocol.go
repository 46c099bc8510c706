package counting

import (
	"encoding/json"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The media types of the service's two protocols.
const (
	mediaJSON = "application/x-amz-json-1.1"
	mediaCBOR = "application/x-amz-cbor-1.1"
)

// request is what matters of a call, in either protocol.
type request struct {
	StreamName string
	Records    []record
}

// record is one of a PutRecords.
type record struct {
	PartitionKey    string
	ExplicitHashKey string
	Data            []byte
}

// answer is that of PutRecords.
type answer struct {
	FailedRecordCount int
	Records           []result
}

type result struct {
	SequenceNumber string `json:",omitempty"`
	ShardID        string `json:"ShardId,omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

// codec is a protocol's encoding.
type codec struct {
	unmarshal func([]byte, any) error
	marshal   func(any) ([]byte, error)
}

func codecOf(media string) (codec, error) {
	switch media {
	case mediaJSON:
		return codec{json.Unmarshal, json.Marshal}, nil
	case mediaCBOR:
		return codec{cbor.Unmarshal, cbor.Marshal}, nil
	}
	return codec{}, fmt.Errorf("%q is neither %s nor %s", media, mediaJSON, mediaCBOR)
}
