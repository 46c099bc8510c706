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
	a := answerReader{reader: newReader(answer), answers: r.answers[:0]}
	a.result, a.field = a.readResult, a.readField
	err = a.object(a.readMember)
	if err == nil {
		err = a.end()
	}
	r.answers = a.answers
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

// answerReader reads the answer of PutRecords.
type answerReader struct {
	reader
	answers []Answer
	// The methods readResult and readField, made values once and not for each
	// record.
	result func() error
	field  func(name []byte) error
}

func (a *answerReader) readMember(name []byte) error {
	if string(name) != "Records" {
		return a.skip()
	}
	a.answers = a.answers[:0] // of a member given twice the last counts
	return a.array(a.result)
}

func (a *answerReader) readResult() error {
	if len(a.answers) == mostAnswers {
		return errTooMany
	}
	a.answers = append(a.answers, Answer{})
	return a.object(a.field)
}

func (a *answerReader) readField(name []byte) error {
	last := len(a.answers) - 1
	previous := &a.answers[max(0, last-1)]
	switch string(name) {
	case "SequenceNumber":
		return a.readText(&a.answers[last].SequenceNumber, "")
	case "ShardId":
		return a.readText(&a.answers[last].ShardID, previous.ShardID)
	case "ErrorCode":
		return a.readText(&a.answers[last].ErrorCode, previous.ErrorCode)
	case "ErrorMessage":
		return a.readText(&a.answers[last].ErrorMessage, previous.ErrorMessage)
	}
	return a.skip()
}

// readText needs no memory for a text that is the known one, as most are.
func (a *answerReader) readText(field *string, known string) error {
	text, err := a.text()
	if string(text) == known {
		*field = known
	} else {
		*field = string(text)
	}
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
