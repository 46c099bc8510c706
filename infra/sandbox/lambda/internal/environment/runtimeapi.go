package environment

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// MaxResponse is the largest answer of a function in bytes (Lambda developer
// guide, "Lambda quotas": 6 MB; the service itself counts 100 bytes more).
const MaxResponse = 6291556

// api returns the Runtime API of one environment (Lambda developer guide,
// "Using the Lambda runtime API"). There is no Extensions API.
func (e *Environment) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.serveNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.serveResponse)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.serveError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.serveInitError)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "NotFound", "not implemented by the sandbox: "+r.Method+" "+r.URL.Path)
	})
	return mux
}

func (e *Environment) serveNext(w http.ResponseWriter, r *http.Request) {
	if err := e.arrived(); err != nil {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", err.Error())
		return
	}
	select {
	case p := <-e.work:
		e.hand(w, p)
	case <-e.exit:
	case <-r.Context().Done():
	}
}

// arrived notes that the process asks for work: its initialisation, or the
// invocation it answered before, is over.
func (e *Environment) arrived() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.initialised {
		e.initialised = true
		close(e.ready)
	}
	if e.current == nil {
		return nil
	}
	if e.current.result == nil {
		return fmt.Errorf("invocation %s has not been answered", e.current.ID)
	}
	close(e.current.finished)
	e.current = nil
	return nil
}

func (e *Environment) hand(w http.ResponseWriter, p *pending) {
	e.mu.Lock()
	e.current = p
	e.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(p.Payload)))
	h.Set("Lambda-Runtime-Aws-Request-Id", p.ID)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(p.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", p.FunctionARN)
	h.Set("Lambda-Runtime-Trace-Id", p.TraceID)
	_, _ = w.Write(p.Payload)
	close(p.taken)
}

func (e *Environment) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxResponse))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxResponse)
		e.answer(r.PathValue("id"), failed("Function.ResponseSizeTooLarge", message))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message)
		return
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "reading the response: "+err.Error())
		return
	}
	result := Result{Payload: body}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		result = failed(kind, "the function failed while its response was being sent")
	}
	e.accept(w, r, result)
}

func (e *Environment) serveError(w http.ResponseWriter, r *http.Request) {
	result, err := reportedFailure(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	e.accept(w, r, result)
}

func (e *Environment) accept(w http.ResponseWriter, r *http.Request, result Result) {
	if !e.answer(r.PathValue("id"), result) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID: "+r.PathValue("id"))
		return
	}
	accepted(w)
}

// answer keeps the first answer to the invocation that is under way.
func (e *Environment) answer(id string, result Result) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil || e.current.ID != id || e.current.result != nil {
		return false
	}
	e.current.result = &result
	return true
}

func (e *Environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	result, err := reportedFailure(w, r)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidRequest", err.Error())
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initialised {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the initialisation is over")
		return
	}
	e.initFailure = &result
	accepted(w)
}

// reportedFailure reads the error object of a runtime. Its type is also in a
// header, which counts where the body does not name it.
func reportedFailure(w http.ResponseWriter, r *http.Request) (Result, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxResponse))
	if err != nil {
		return Result{}, fmt.Errorf("reading the error: %w", err)
	}
	var shape failurePayload
	if json.Unmarshal(body, &shape) != nil {
		return failed(r.Header.Get("Lambda-Runtime-Function-Error-Type"), string(body)), nil
	}
	shape.Type = cmp.Or(shape.Type, r.Header.Get("Lambda-Runtime-Function-Error-Type"))
	return Result{Payload: body, FunctionError: Unhandled, ErrorType: shape.Type}, nil
}

func accepted(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	body, _ := json.Marshal(failurePayload{Type: kind, Message: message})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
