package httpjson

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Problem is an error response (RFC 9457). Type is a reference relative to the
// service, such as "/problems/not-found"; clients decide by it and by Status.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Field is the field that the problem is about, or several joined by +: what the method
	// ProblemField() string of an error says.
	Field string `json:"field,omitempty"`
}

// Rule says which problem an error becomes. Make it with WithDetail or WithoutDetail.
type Rule struct {
	err        error
	problem    Problem
	withDetail bool
}

// WithDetail makes err a problem that shows the error's text as its detail. slug is
// the end of its Type. It panics for a status that is not from 400 to 599.
func WithDetail(err error, slug, title string, status int) Rule {
	return newRule(err, slug, title, status, true)
}

// WithoutDetail makes err a problem that does not show the error's text, because it
// is not meant for clients. It panics for a status that is not from 400 to 599.
func WithoutDetail(err error, slug, title string, status int) Rule {
	return newRule(err, slug, title, status, false)
}

func newRule(err error, slug, title string, status int, withDetail bool) Rule {
	if status < 400 || status > 599 {
		panic(fmt.Sprintf("httpjson: problem %q: invalid status %d: must be from 400 to 599", slug, status))
	}
	return Rule{err, Problem{Type: problemType(slug), Title: title, Status: status}, withDetail}
}

func problemType(slug string) string { return "/problems/" + slug }

// Problems are the errors of an API; the first rule whose error matches (errors.Is)
// counts. The errors of this package and of contexts need no rule.
type Problems []Rule

// common are the problems that every API has.
var common = Problems{
	WithDetail(ErrTooLarge, "too-large", "Request body too large", http.StatusRequestEntityTooLarge),
	WithDetail(ErrMediaType, "media-type", "Unsupported media type", http.StatusUnsupportedMediaType),
	WithDetail(ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	WithoutDetail(ErrNoRoute, "no-route", "No such endpoint", http.StatusNotFound),
	WithoutDetail(ErrMethod, "method", "Method not allowed", http.StatusMethodNotAllowed),
	WithoutDetail(context.DeadlineExceeded, "timeout", "The request timed out; try again", http.StatusGatewayTimeout),
	WithoutDetail(context.Canceled, "cancelled", "The client closed the request", statusClientClosed),
}

// statusClientClosed is what nginx logs for a client that did not wait; no client
// sees it.
const statusClientClosed = 499

// Of returns the problem that err becomes. An error without a rule is an internal
// error, whose text is not shown.
func (ps Problems) Of(err error) Problem {
	for _, rules := range []Problems{ps, common} {
		for _, rule := range rules {
			if !errors.Is(err, rule.err) {
				continue
			}
			p := rule.problem
			if rule.withDetail {
				p.Detail = err.Error()
			}
			var about interface{ ProblemField() string }
			if errors.As(err, &about) {
				p.Field = about.ProblemField()
			}
			return p
		}
	}
	return Problem{Type: problemType("internal"), Title: "Internal error", Status: http.StatusInternalServerError}
}

// WriteProblem responds with p.
func WriteProblem(w http.ResponseWriter, p Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeBody(w, p.Status, "application/problem+json", p)
}

// WriteJSON answers with body. It panics before it has written anything where body has
// no JSON, such as a channel.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	writeBody(w, status, "application/json", body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Errorf("httpjson: write %T as JSON: %w", body, err))
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // fails only when the client is gone
}
