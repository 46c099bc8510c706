// Package entityhttp is an entity store over HTTP: what its errors become, and its versions as
// entity tags. It is used with package httpjson.
package entityhttp

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// Problems says what the errors of a store look like to clients. A service's own rules come
// before them.
var Problems = httpjson.Problems{
	httpjson.WithDetail(entity.ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	httpjson.WithDetail(entity.ErrUnfit, "unfit", "It cannot be stored", http.StatusBadRequest),
	httpjson.WithDetail(entity.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
	httpjson.WithDetail(entity.ErrNotFound, "not-found", "Not found", http.StatusNotFound),
	httpjson.WithDetail(entity.ErrExists, "id-taken", "Id taken", http.StatusConflict),
	httpjson.WithDetail(entity.ErrTaken, "taken", "Value taken", http.StatusConflict),
	httpjson.WithDetail(entity.ErrVersion, "version", "Version has changed", http.StatusPreconditionFailed),
	httpjson.WithoutDetail(entity.ErrConflict, "conflict", "Others change it all the time; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(entity.ErrNotPublished, "not-published", "Stored but not published; send the request again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrHeld, "held", "Writes are held for a change of owner; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrLate, "late", "The owner has changed meanwhile, and the write may be lost; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrNoLease, "no-lease", "The present owner is not known here; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrLeft, "shutting-down", "This instance is shutting down; try again", http.StatusServiceUnavailable),
}

// Timeout bounds a request, waiting for a change of owner included.
const Timeout = 8 * time.Second

// ETag is a version as an entity tag.
func ETag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// IfMatch reads the version of an If-Match header; nil when there is none or any version matches. Lists and
// weak tags never match a strong comparison of one version (RFC 9110, 13.1.1). entity.ErrInvalid,
// entity.ErrVersion.
func IfMatch(r *http.Request) (*int64, error) {
	all := r.Header.Values("If-Match")
	if len(all) == 0 {
		return nil, nil
	}
	header := strings.Join(all, ", ") // as several fields are one list
	if header == "*" {
		return nil, nil
	}
	text, err := strconv.Unquote(header)
	if err != nil || header[0] != '"' {
		return nil, fmt.Errorf("%w: If-Match must be one version in double quotes, not %.40s", entity.ErrInvalid, header)
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("If-Match %.40s was never a version: %w", header, entity.ErrVersion)
	}
	return &version, nil
}

// Limit is how many documents a request asks for, of at most most; entity.ErrInvalid.
func Limit(text string, most int) (int, error) {
	if text == "" {
		return min(50, most), nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%w: limit must be 1 to %d, not %.20q", entity.ErrInvalid, most, text)
	}
	return n, nil
}

// WriteRead answers with a resource that was read, or that it has not changed since the client
// has seen it.
func WriteRead(w http.ResponseWriter, r *http.Request, version int64, body any) {
	w.Header().Set("ETag", ETag(version))
	if r.Header.Get("If-None-Match") == ETag(version) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	httpjson.WriteJSON(w, http.StatusOK, body)
}

// WriteWritten answers with the outcome of a write, and where its last event is, if that is
// known. Without a body, which is for what was deleted, the status is 204.
func WriteWritten(w http.ResponseWriter, status int, version int64, at events.Position, body any) {
	if at != (events.Position{}) {
		w.Header().Set(events.HeaderWritten, at.String())
	}
	if body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("ETag", ETag(version))
	httpjson.WriteJSON(w, status, body)
}
