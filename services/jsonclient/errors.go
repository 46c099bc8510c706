package jsonclient

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Errors that callers can test with errors.Is, beside those that a client has for
// problems of its own.
var (
	// ErrNotFound: there is no such resource.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the write contradicts what there is.
	ErrConflict = errors.New("conflict")
	// ErrVersion: the resource has another version than Call.IfVersion.
	ErrVersion = errors.New("changed meanwhile")
	// ErrUnauthorized: the credentials are wrong.
	ErrUnauthorized = errors.New("wrong credentials")
	// ErrInvalid: the service refused the input; the text says why.
	ErrInvalid = errors.New("invalid input")
	// ErrUnavailable: the service could not be reached, or failed, until the time
	// was up. Whether a write was made is unknown; repeating it is harmless.
	ErrUnavailable = errors.New("the service is unavailable")
	// ErrResponse: this client does not understand the response of the service.
	ErrResponse = errors.New("unexpected response of the service")
)

// problem is an RFC 9457 body.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// error is what a response is to callers: by its problem, if the client knows it, or its status.
func (p problem) error(status int, known map[string]error) error {
	err, ok := known[strings.TrimPrefix(p.Type, "/problems/")]
	if !ok {
		err = errorOfStatus(status)
	}
	return fmt.Errorf("%w (%d %s)", err, status, cmp.Or(p.Detail, p.Title))
}

func errorOfStatus(status int) error {
	switch {
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusConflict:
		return ErrConflict
	case status == http.StatusPreconditionFailed:
		return ErrVersion
	case status == http.StatusUnauthorized:
		return ErrUnauthorized
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge:
		return ErrInvalid
	case status >= 500, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return ErrResponse
}
