package timeline

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/banyan-fig/banyan/consumers/readmodel/timeline"
)

// Problem is an error answer, RFC 9457. Type is a reference relative to the
// service; clients decide by it and by Status.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

var (
	errForbidden = errors.New("a timeline is for its own user")
	errBehind    = errors.New("the read model has not applied that position for this user yet")
	errInvalid   = errors.New("invalid")
	errNoRoute   = errors.New("GET /v1/timelines/{userId} is what there is")
	errMethod    = errors.New("timelines can only be read: use GET or HEAD")
)

// problems is what each error looks like from outside, the first match counts.
var problems = []struct {
	err    error
	slug   string
	title  string
	status int
	detail bool // the error's text is meant for clients
}{
	{errToken, "unauthorized", "Unauthorized", http.StatusUnauthorized, true},
	{errForbidden, "forbidden", "Not your timeline", http.StatusForbidden, true},
	{errBehind, "read-model-behind", "The read model is behind", http.StatusPreconditionFailed, true},
	{timeline.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest, false},
	{errInvalid, "invalid", "Invalid input", http.StatusBadRequest, true},
	{errNoRoute, "no-route", "There is nothing here", http.StatusNotFound, true},
	{errMethod, "method", "Method not allowed", http.StatusMethodNotAllowed, true},
	{context.DeadlineExceeded, "timeout", "The request took too long; repeat it", http.StatusGatewayTimeout, false},
	{context.Canceled, "cancelled", "The client went away", 499, false},
}

// problemOf tells nothing of errors that it does not know.
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
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client went away: nobody is left to tell
}
