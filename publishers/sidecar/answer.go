package sidecar

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/banyan-fig/banyan/events"
)

// The errors of requests. Their texts are meant for callers.
var (
	errNoRoute   = errors.New("not found: POST CloudEvents to " + Path)
	errMethod    = errors.New("method not allowed: POST events")
	errBrowser   = errors.New("the request has the header Origin, so it comes from a browser: web pages may not publish")
	errEncoded   = errors.New("unsupported Content-Encoding: send the body unencoded")
	errMediaType = errors.New("unsupported media type")
	errSlow      = errors.New("timeout while reading the body")
	errTooLarge  = errors.New("too large")
	errBusy      = errors.New("too many requests in flight: repeat after Retry-After")
	errNotKept   = errors.New("not accepted, and will not be published unless it is sent again")
	errUnknown   = errors.New("unknown whether this event is kept: it may be published later; sending it again with the same id is safe")
)

func (h *Handler) errBody() error {
	return fmt.Errorf("%w: the limit of a body is %d bytes", errTooLarge, h.cfg.MaxBodyBytes)
}

// errNoEvent is the error of a request in none of the CloudEvents modes.
func errNoEvent(header http.Header) error {
	for name := range header {
		if len(name) > len(attributePrefix) && name[:len(attributePrefix)] == attributePrefix {
			return malformed("specversion", "%.20q is not 1.0: send the header ce-specversion: 1.0", header.Get("Ce-Specversion"))
		}
	}
	return fmt.Errorf("%w: %.80q without ce- headers is not a CloudEvent: send application/cloudevents+json, "+
		"application/cloudevents-batch+json, or the headers ce-specversion, ce-id, ce-source, ce-type and ce-partitionkey "+
		"with content-type application/json", errMediaType, header.Get("Content-Type"))
}

// kind is how an error appears in responses.
type kind struct {
	err    error
	slug   string
	title  string
	status int
}

// kinds are matched in this order.
var kinds = []kind{
	{errNoRoute, "no-route", "Not found", http.StatusNotFound},
	{errMethod, "method", "Method not allowed", http.StatusMethodNotAllowed},
	{errBrowser, "browser", "Forbidden for browsers", http.StatusForbidden},
	{errEncoded, "media-type", "Unsupported media type", http.StatusUnsupportedMediaType},
	{errMediaType, "media-type", "Unsupported media type", http.StatusUnsupportedMediaType},
	{errSlow, "slow", "Request timeout", http.StatusRequestTimeout},
	{errTooLarge, "too-large", "Too large", http.StatusRequestEntityTooLarge},
	{events.ErrMalformed, "malformed", "Malformed event", http.StatusBadRequest},
	{errBusy, "busy", "Too many requests at once", http.StatusTooManyRequests},
	{errUnknown, "unknown", "Unknown whether kept; repeat with the same id", http.StatusServiceUnavailable},
	{errNotKept, "not-kept", "Not kept; repeat with the same id", http.StatusServiceUnavailable},
}

// problem is an error response, RFC 9457.
type problem struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Events []account `json:"events,omitempty"`
}

func problemOf(err error) problem {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return problem{Type: "/problems/" + k.slug, Title: k.title, Status: k.status, Detail: err.Error()}
		}
	}
	return problem{Type: "/problems/internal", Title: "Internal error", Status: http.StatusInternalServerError, Detail: err.Error()}
}

// account is the outcome of one event.
type account struct {
	ID       string   `json:"id"`
	Kept     kept     `json:"kept"`
	Position string   `json:"position,omitempty"`
	Dropped  []string `json:"dropped,omitempty"` // attributes that are not carried
	Error    string   `json:"error,omitempty"`
}

func accounts(items []item) []account {
	out := make([]account, len(items))
	for i, it := range items {
		out[i] = account{ID: it.id, Kept: it.kept, Position: it.pos.String(), Dropped: it.dropped}
		if it.kept == "" {
			out[i].Kept = keptNo
		}
		if it.err != nil {
			out[i].Error = it.err.Error()
		}
	}
	return out
}

func (h *Handler) succeed(w http.ResponseWriter, items []item) {
	h.counted.count(items)
	if len(items) == 1 && !items[0].pos.IsZero() {
		w.Header().Set(events.HeaderWritten, items[0].pos.String())
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Events []account `json:"events"`
	}{accounts(items)})
}

func (p problem) write(w http.ResponseWriter) {
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the client is gone
}
