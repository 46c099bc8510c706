package httpjson

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// answer is the ResponseWriter of an endpoint. It knows whether the answer has begun,
// after which no problem can be sent in its place.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.ResponseWriter.WriteHeader(status)
	a.begun = a.begun || status >= http.StatusOK || status == http.StatusSwitchingProtocols
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	a.begun = true
	_ = http.NewResponseController(a.ResponseWriter).Flush() // unsupported: it is sent in the end
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// panicError is the error of an endpoint that panicked.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("the endpoint panicked: %v", e.value) }

// call returns a panic of the endpoint as an error. http.ErrAbortHandler is none: with
// it an endpoint ends the connection on purpose.
func call(serve Endpoint, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			err = &panicError{v, debug.Stack()}
		}
	}()
	return serve(w, r)
}
