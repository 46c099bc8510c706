package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// apiError is an error of Lambda's API as it goes over the wire.
type apiError struct {
	status  int
	code    string
	message string
	reason  string // of a throttle
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func invalid(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, code: "InvalidParameterValueException", message: fmt.Sprintf(format, args...)}
}

// violates is what the API says of a value outside its declared bounds.
func violates(format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, code: "ValidationException", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &apiError{status: http.StatusNotFound, code: "ResourceNotFoundException", message: fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &apiError{status: http.StatusConflict, code: "ResourceConflictException", message: fmt.Sprintf(format, args...)}
}

func tooLarge(limit int) error {
	return &apiError{
		status: http.StatusRequestEntityTooLarge, code: "RequestTooLargeException",
		message: fmt.Sprintf("Request must be smaller than %d bytes for the InvokeFunction operation", limit),
	}
}

func staleRevision() error {
	return &apiError{
		status: http.StatusPreconditionFailed, code: "PreconditionFailedException",
		message: "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id",
	}
}

// throttled is what a caller gets beyond a concurrency limit or a queue's.
func throttled(reason string) error {
	return &apiError{
		status: http.StatusTooManyRequests, code: "TooManyRequestsException", reason: reason, message: "Rate Exceeded.",
	}
}

func unavailable(message string) error {
	return &apiError{status: http.StatusInternalServerError, code: "ServiceException", message: message}
}

// isThrottle says whether an error is one of a limit, after which it is worth
// trying again.
func isThrottle(err error) bool { return hasStatus(err, http.StatusTooManyRequests) }

// isService says whether an error is the service's own fault, which is worth
// trying again too.
func isService(err error) bool { return hasStatus(err, http.StatusInternalServerError) }

func hasStatus(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == status
}

// notImplemented refuses a parameter or a value that Lambda has and this host
// does not.
func notImplemented(what string, args ...any) error {
	return &apiError{
		status: http.StatusBadRequest, code: "InvalidParameterValueException",
		message: "not implemented by the sandbox: " + fmt.Sprintf(what, args...),
	}
}

func unknownOperation(method, path string) error {
	return &apiError{
		status: http.StatusNotFound, code: "UnknownOperationException",
		message: fmt.Sprintf("not implemented by the sandbox: %s %s", method, path),
	}
}

// writeError sends an error as the REST JSON protocol wants it. The name of the
// message's member differs between Lambda's errors, so both are sent.
func writeError(w http.ResponseWriter, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, code: "ServiceException", message: err.Error()}
	}
	kind := "User"
	if e.status >= http.StatusInternalServerError {
		kind = "Service"
	}
	body := map[string]string{"Type": kind, "Message": e.message, "message": e.message}
	if e.reason != "" {
		body["Reason"] = e.reason
		w.Header().Set("Retry-After", strconv.Itoa(1))
	}
	encoded, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", e.code)
	w.WriteHeader(e.status)
	_, _ = w.Write(encoded)
}
