package putrecords

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

var answerBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// unmarshal decodes an answer in the encoding that its first byte names, as no map in
// CBOR begins like JSON: the content type is not to be relied on.
func unmarshal(answer []byte, v any) error {
	if isCBOR(answer) {
		return cbor.Unmarshal(answer, v)
	}
	return json.Unmarshal(answer, v)
}

func isCBOR(answer []byte) bool { return len(answer) > 0 && answer[0]&0xe0 == cborMap }

// readAnswers replaces r.answers by those of a whole answer, and counts those
// with an error.
func (r *Request) readAnswers(answer []byte) (failed int32, err error) {
	clear(r.answers) // decoders fill in what is there
	parsed := struct{ Records []Answer }{r.answers[:0]}
	if err := unmarshal(answer, &parsed); err != nil {
		r.answers = r.answers[:0]
		return 0, fmt.Errorf("malformed answer: %w", err)
	}
	r.answers = parsed.Records
	for i := range r.answers {
		if r.answers[i].ErrorCode != "" {
			failed++
		}
	}
	return failed, nil
}

// errorInJSON returns an error's answer as the SDK's own protocol reads it: as it is,
// unless it is one in CBOR.
func errorInJSON(answer []byte) []byte {
	if !isCBOR(answer) {
		return answer
	}
	var e struct {
		Type    string `json:"__type,omitempty" cbor:"__type"`
		Code    string `json:"code,omitempty" cbor:"code"`
		Message string `json:"message" cbor:"message"`
	}
	if cbor.Unmarshal(answer, &e) != nil {
		return answer // which the SDK will not be able to read either
	}
	text, err := json.Marshal(e)
	if err != nil {
		return answer
	}
	return text
}
