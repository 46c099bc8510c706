package httpjson

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Problem is an error answer, RFC 9457. Type is a reference relative to the
// service, such as "/problems/not-found"; clients decide by it and by Status.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// Kind is what one error looks like from outside: make it with Tell or Hide.
type Kind struct {
	err    error
	slug   string
	title  string
	status int
	told   bool
}

// Tell makes err a problem with its text as the detail. slug is the end of its Type.
func Tell(err error, slug, title string, status int) Kind {
	return Kind{err, slug, title, status, true}
}

// Hide makes err a problem without its text, which is not meant for clients.
func Hide(err error, slug, title string, status int) Kind {
	return Kind{err, slug, title, status, false}
}

// Problems are the errors of an API; the first that matches counts. Those of
// reading a request, and of time, need not be listed.
type Problems []Kind

// everywhere are the problems that every API has.
var everywhere = Problems{
	Tell(ErrTooLarge, "too-large", "Request body too large", http.StatusRequestEntityTooLarge),
	Tell(ErrMediaType, "media-type", "Unsupported media type", http.StatusUnsupportedMediaType),
	Tell(ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	Hide(ErrNoRoute, "no-route", "There is nothing here", http.StatusNotFound),
	Hide(ErrMethod, "method", "Method not allowed", http.StatusMethodNotAllowed),
	Hide(context.DeadlineExceeded, "timeout", "The request took too long; repeat it", http.StatusGatewayTimeout),
	Hide(context.Canceled, "cancelled", "The client went away", 499),
}

// Of is the problem that err is. It tells nothing of errors that it does not know.
func (ps Problems) Of(err error) Problem {
	for _, kinds := range []Problems{ps, everywhere} {
		for _, k := range kinds {
			if errors.Is(err, k.err) {
				return k.problem(err)
			}
		}
	}
	return Problem{Type: "/problems/internal", Title: "Internal error", Status: http.StatusInternalServerError}
}

func (k Kind) problem(err error) Problem {
	p := Problem{Type: "/problems/" + k.slug, Title: k.title, Status: k.status}
	if k.told {
		p.Detail = err.Error()
	}
	return p
}

// WriteProblem answers with p.
func WriteProblem(w http.ResponseWriter, p Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	write(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers with body.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client went away: nobody is left to tell
}
