package awsjson

import (
	"errors"
	"fmt"
	"net/http"
)

// Error is an error of an AWS service as it goes over the wire.
type Error struct {
	// Type is the modelled name, such as "ResourceNotFoundException".
	Type string
	// Message is for a person.
	Message string
	// Status is the HTTP status; 0 means 400.
	Status int
	// QueryCode is the code that awsQueryCompatible services (SQS) send in
	// the header x-amzn-query-error; "" sends none.
	QueryCode string
}

// Error implements error.
func (e *Error) Error() string { return e.Type + ": " + e.Message }

// Errorf makes a client error (status 400) of a type.
func Errorf(errorType, format string, args ...any) *Error {
	return &Error{Type: errorType, Message: fmt.Sprintf(format, args...), Status: http.StatusBadRequest}
}

// NotImplemented is what the sandbox answers where it knows that it does not
// do what was asked for.
func NotImplemented(what string) *Error {
	return Errorf("UnknownOperationException", "not implemented by the sandbox: %s", what)
}

// Internal is a server error (status 500), which clients retry.
func Internal(message string) *Error {
	return &Error{Type: "InternalFailure", Message: message, Status: http.StatusInternalServerError}
}

// asError gives every error a type; what is not an *Error is the sandbox's own
// failure.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Internal("the sandbox failed: " + err.Error())
}

func (e *Error) status() int {
	if e.Status == 0 {
		return http.StatusBadRequest
	}
	return e.Status
}
