package putrecords

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

var answerBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var (
	errMalformed = errors.New("a malformed answer")
	errTooDeep   = fmt.Errorf("an answer nested deeper than %d", mostDepth)
	errTooMany   = fmt.Errorf("an answer with more than %d results", mostAnswers)
)

const (
	mostDepth = 32
	// mostAnswers is more than the 500 that there can be: what is too much is
	// told from the number of records.
	mostAnswers = 10_000
)

// reader walks through an answer, in one of the encodings. Texts are valid until
// the next call.
type reader interface {
	// object calls field after the name of each member was read; field reads
	// the value. A null has no members.
	object(field func(name []byte) error) error
	// array calls item before each item; item reads it. A null has none.
	array(item func() error) error
	// text reads a text, or a null as an empty one.
	text() ([]byte, error)
	// skip reads any value.
	skip() error
	// end fails if anything is left.
	end() error
}

// newReader tells the encoding from the first byte, as no map in CBOR begins
// like JSON: the content type is not to be relied on.
func newReader(answer []byte) reader {
	if isCBOR(answer) {
		return &cborReader{data: answer}
	}
	return &jsonReader{data: answer}
}

func isCBOR(answer []byte) bool { return len(answer) > 0 && answer[0]&0xe0 == cborMap }

// readAnswers replaces r.answers by those of a whole answer, and counts those
// with an error.
func (r *Request) readAnswers(answer []byte) (failed int32, err error) {
	d := newReader(answer)
	r.answers = r.answers[:0]
	err = d.object(func(name []byte) error {
		if string(name) != "Records" {
			return d.skip()
		}
		r.answers = r.answers[:0] // of a member given twice the last counts
		return d.array(func() error { return r.readAnswer(d) })
	})
	if err == nil {
		err = d.end()
	}
	if err != nil {
		r.answers = r.answers[:0]
		return 0, err
	}
	for i := range r.answers {
		if r.answers[i].ErrorCode != "" {
			failed++
		}
	}
	return failed, nil
}

func (r *Request) readAnswer(d reader) error {
	if len(r.answers) == mostAnswers {
		return errTooMany
	}
	var previous Answer
	if n := len(r.answers); n > 0 {
		previous = r.answers[n-1]
	}
	var a Answer
	err := d.object(func(name []byte) error {
		field, known := (*string)(nil), ""
		switch string(name) {
		case "SequenceNumber":
			field = &a.SequenceNumber
		case "ShardId":
			field, known = &a.ShardID, previous.ShardID
		case "ErrorCode":
			field, known = &a.ErrorCode, previous.ErrorCode
		case "ErrorMessage":
			field, known = &a.ErrorMessage, previous.ErrorMessage
		default:
			return d.skip()
		}
		text, err := d.text()
		if string(text) == known { // most results say the same
			*field = known
		} else {
			*field = string(text)
		}
		return err
	})
	r.answers = append(r.answers, a)
	return err
}

// errorInJSON is an error's answer as the SDK's own protocol reads it: as it is,
// unless it is one in CBOR.
func errorInJSON(answer []byte) []byte {
	if !isCBOR(answer) {
		return answer
	}
	var e struct {
		Type    string `json:"__type,omitempty"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
	}
	d := newReader(answer)
	err := d.object(func(name []byte) error {
		field := (*string)(nil)
		switch string(name) {
		case "__type":
			field = &e.Type
		case "code", "Code":
			field = &e.Code
		case "message", "Message":
			field = &e.Message
		default:
			return d.skip()
		}
		text, err := d.text()
		*field = string(text)
		return err
	})
	if err != nil {
		return answer // which the SDK will not be able to read either
	}
	text, err := json.Marshal(e)
	if err != nil {
		return answer
	}
	return text
}
