package dynamodb

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// apiError is an error as the service answers it.
type apiError struct {
	code    string
	message string
	status  int            // HTTP status; 0 stands for 400
	item    attribute.Item // of a ConditionalCheckFailedException, if it was asked for
	reasons []reason       // of a TransactionCanceledException
}

// reason is why one action of a transaction failed; an empty code stands for "None".
type reason struct {
	code    string
	message string
	item    attribute.Item
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func (e *apiError) httpStatus() int {
	if e.status == 0 {
		return http.StatusBadRequest
	}
	return e.status
}

func fail(code, format string, args ...any) error {
	return &apiError{code: code, message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return fail("ValidationException", format, args...)
}

func parameter(format string, args ...any) error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

func noTable() error { return fail("ResourceNotFoundException", "Requested resource not found") }

func noTableNamed(name string) error {
	return fail("ResourceNotFoundException", "Requested resource not found: Table: %s not found", name)
}

func notImplemented(what string) error {
	return &apiError{code: "UnknownOperationException", message: "not implemented by the sandbox: " + what, status: http.StatusNotImplemented}
}

// unreadable is the answer to a body that is too large, or did not come whole.
func unreadable(err error) error {
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return &apiError{code: "RequestEntityTooLargeException",
			message: fmt.Sprintf("the request is larger than the %d MiB that the service takes", large.Limit>>20), status: http.StatusRequestEntityTooLarge}
	}
	return fail("SerializationException", "the request could not be read: %v", err)
}

func throttled() error {
	return fail("ProvisionedThroughputExceededException",
		"The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.")
}

func internal() error {
	return &apiError{code: "InternalServerError", message: "Internal server error", status: http.StatusInternalServerError}
}

// asAPIError gives every error that can come up while a request is read and carried out the form
// the service would give it.
func asAPIError(err error) *apiError {
	var api *apiError
	var value attribute.ValidationError
	var shape attribute.SerializationError
	var expr expression.Error
	switch {
	case errors.As(err, &api):
		return api
	case errors.As(err, &value):
		return &apiError{code: "ValidationException", message: value.Error()}
	case errors.As(err, &expr):
		return &apiError{code: "ValidationException", message: expr.Error()}
	case errors.As(err, &shape), errors.Is(err, wire.ErrSyntax):
		return &apiError{code: "SerializationException", message: err.Error()}
	}
	return &apiError{code: "InternalServerError", message: err.Error(), status: http.StatusInternalServerError}
}

// namespaces that differ from the usual one.
var namespaces = map[string]string{
	"ValidationException":    "com.amazon.coral.validate#",
	"SerializationException": "com.amazon.coral.service#",
}

func (e *apiError) appendJSON(out []byte) []byte {
	namespace, ok := namespaces[e.code]
	if !ok {
		namespace = "com.amazonaws.dynamodb.v20120810#"
	}
	out = append(out, `{"__type":"`...)
	out = append(append(append(out, namespace...), e.code...), '"')
	if e.reasons != nil {
		out = append(out, `,"CancellationReasons":[`...)
		for i := range e.reasons {
			if i > 0 {
				out = append(out, ',')
			}
			out = e.reasons[i].appendJSON(out)
		}
		out = append(append(out, `],"Message":`...), wire.AppendString(nil, e.message)...)
		return append(out, '}')
	}
	out = wire.AppendString(append(out, `,"message":`...), e.message)
	if e.item != nil {
		out = e.item.AppendJSON(append(out, `,"Item":`...))
	}
	return append(out, '}')
}

func (r *reason) appendJSON(out []byte) []byte {
	if r.code == "" {
		return append(out, `{"Code":"None"}`...)
	}
	out = append(append(append(out, `{"Code":"`...), r.code...), `","Message":`...)
	out = wire.AppendString(out, r.message)
	if r.item != nil {
		out = r.item.AppendJSON(append(out, `,"Item":`...))
	}
	return append(out, '}')
}
