package httpjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// MaxBody is the maximum size in bytes of a request body that is read as JSON here.
const MaxBody = 64 << 10

// The errors of requests. Their texts are meant for clients.
var (
	ErrInvalid   = errors.New("invalid request")
	ErrTooLarge  = errors.New("the request body is too large")
	ErrMediaType = errors.New("the request body must be application/json")
	ErrNoRoute   = errors.New("no such endpoint")
	ErrMethod    = errors.New("the endpoint does not have that method")
)

// ReadJSON reads a body of exactly one JSON object with known members only, declared
// as application/json and in UTF-8. Errors: ErrMediaType, ErrTooLarge, ErrInvalid.
func ReadJSON(w http.ResponseWriter, r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("%w, not %.80q", ErrMediaType, r.Header.Get("Content-Type"))
	}
	return readObject(w, r, into, (*json.Decoder).DisallowUnknownFields)
}

// ReadLooseJSON reads a body of exactly one JSON object, for clients that declare no
// media type and send members that the API does not know. ErrTooLarge, ErrInvalid.
func ReadLooseJSON(w http.ResponseWriter, r *http.Request, into any) error {
	return readObject(w, r, into, func(*json.Decoder) {})
}

// ReadBody reads a body of at most so many bytes, whatever it is. ErrTooLarge, ErrInvalid.
func ReadBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if a, ok := w.(*answer); ok {
		w = a.ResponseWriter // the server's, which then closes the connection
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, fmt.Errorf("%w: at most %d bytes are accepted", ErrTooLarge, most)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the request body is incomplete: %w", ErrInvalid, err)
	}
	return body, nil
}

func readObject(w http.ResponseWriter, r *http.Request, into any, configure func(*json.Decoder)) error {
	body, err := ReadBody(w, r, MaxBody)
	if err != nil {
		return err
	}
	if !utf8.Valid(body) {
		return fmt.Errorf("%w: the request body is not UTF-8", ErrInvalid)
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return fmt.Errorf("%w: the request body must be one JSON object", ErrInvalid)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	configure(d)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: request body: %s", ErrInvalid, describe(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: request body: unexpected data after the object", ErrInvalid)
	}
	return nil
}

// describe says what is wrong in terms of JSON instead of Go.
func describe(err error) string {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Sprintf("%s cannot be a JSON %s", kind.Field, kind.Value)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends in the middle of the object"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// Query parses the query of the request, and refuses what net/http would skip:
// ErrInvalid.
func Query(r *http.Request) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%w: invalid query: %w", ErrInvalid, err)
	}
	return q, nil
}
