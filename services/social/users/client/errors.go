package client

import (
	"errors"
	"fmt"
	"net/http"
)

// Errors that callers can test with errors.Is.
var (
	// ErrNotFound: the user does not exist.
	ErrNotFound = errors.New("no such user")
	// ErrConflict: the e-mail or the id belongs to another user. ErrEmailTaken and
	// ErrIDTaken say which.
	ErrConflict   = errors.New("conflict")
	ErrEmailTaken = fmt.Errorf("%w: another user has this e-mail", ErrConflict)
	ErrIDTaken    = fmt.Errorf("%w: another user has this id", ErrConflict)
	// ErrVersion: the user has another version than Change.IfVersion.
	ErrVersion = errors.New("the user has changed meanwhile")
	// ErrCredentials: e-mail and password do not match a user.
	ErrCredentials = errors.New("wrong e-mail or password")
	// ErrInvalid: the service refused the input; the text says why.
	ErrInvalid = errors.New("invalid input")
	// ErrUnavailable: the service could not be reached, or failed, until the time
	// was up. Whether a write was made is unknown; repeating it is harmless.
	ErrUnavailable = errors.New("the users service is unavailable")
	// ErrResponse: this client does not understand the response of the service.
	ErrResponse = errors.New("unexpected response of the users service")
)

// problem is an RFC 9457 body.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// problemTypes maps the types that say more than the status.
var problemTypes = map[string]error{
	"/problems/email-taken": ErrEmailTaken,
	"/problems/id-taken":    ErrIDTaken,
}

func (p problem) error(status int) error {
	err, known := problemTypes[p.Type]
	if !known {
		err = errorOfStatus(status)
	}
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	return fmt.Errorf("%w (%d %s)", err, status, text)
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
		return ErrCredentials
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge:
		return ErrInvalid
	case status >= 500, status == http.StatusTooManyRequests:
		return ErrUnavailable
	}
	return ErrResponse
}
