package users

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Problem is an error answer, RFC 9457. Type is a reference relative to the
// service, such as "/problems/not-found"; clients decide by it and by Status.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

// request errors that only the HTTP API has
var (
	errTooLarge  = errors.New("the request body is too large")
	errMediaType = errors.New("the request body must be application/json")
)

// problems is what each error looks like from outside, the first match counts.
var problems = []struct {
	err    error
	slug   string
	title  string
	status int
	detail bool // the error's text is meant for clients
}{
	{errTooLarge, "too-large", "Request body too large", http.StatusRequestEntityTooLarge, true},
	{errMediaType, "media-type", "Unsupported media type", http.StatusUnsupportedMediaType, true},
	{ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest, true},
	{ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest, true},
	{ErrNotFound, "not-found", "User not found", http.StatusNotFound, true},
	{ErrEmailTaken, "email-taken", "E-mail taken", http.StatusConflict, true},
	{ErrIDTaken, "id-taken", "Id taken", http.StatusConflict, true},
	{ErrVersion, "version", "Version has changed", http.StatusPreconditionFailed, true},
	{ErrCredentials, "credentials", "Wrong e-mail or password", http.StatusUnauthorized, false},
	{ErrNotPublished, "not-published", "Stored but not published; repeat the request", http.StatusServiceUnavailable, false},
	{ownership.ErrHeld, "held", "Writes are held for a change of owner; repeat the request", http.StatusServiceUnavailable, false},
	{ownership.ErrNoLease, "no-lease", "This instance cannot tell who owns the users; repeat the request", http.StatusServiceUnavailable, false},
	{ownership.ErrLeft, "shutting-down", "This instance is shutting down; repeat the request", http.StatusServiceUnavailable, false},
	{context.DeadlineExceeded, "timeout", "The request took too long; repeat it", http.StatusGatewayTimeout, false},
	{context.Canceled, "cancelled", "The client went away", 499, false},
}

func problemOf(err error) Problem {
	for _, p := range problems {
		if errors.Is(err, p.err) {
			out := Problem{Type: "/problems/" + p.slug, Title: p.title, Status: p.status}
			if p.detail {
				out.Detail = err.Error()
			}
			return out
		}
	}
	return Problem{Type: "/problems/internal", Title: "Internal error", Status: http.StatusInternalServerError}
}

func writeProblem(w http.ResponseWriter, p Problem) {
	if p.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client went away: nobody is left to tell
}
