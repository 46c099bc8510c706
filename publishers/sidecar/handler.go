package sidecar

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/banyan-fig/banyan/events/correlation"
)

// Path is where events are posted to.
const Path = "/events"

// answerTime is what remains for writing an answer once the publisher has spoken.
const answerTime = 10 * time.Second

// Handler takes events over HTTP, see the package comment. Safe for concurrent
// use.
type Handler struct {
	cfg     Config
	places  *semaphore.Weighted // of requests
	room    *semaphore.Weighted // of bytes
	counted counters
}

// New makes a handler. It fails when the config is wrong.
func New(cfg Config) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Handler{
		cfg:    cfg,
		places: semaphore.NewWeighted(int64(cfg.MaxRequests)),
		room:   semaphore.NewWeighted(cfg.MaxInFlightBytes),
	}, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.counted.requests.Add(1)
	items, err := h.serve(w, r)
	if err != nil {
		h.fail(w, r, items, err)
		return
	}
	h.succeed(w, items)
}

// serve returns what became of the events, as far as there are any.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) ([]item, error) {
	if err := check(w, r); err != nil {
		return nil, err
	}
	if !h.places.TryAcquire(1) {
		return nil, errBusy
	}
	defer h.places.Release(1)
	ids := correlationOf(r.Header)
	w.Header().Set(correlation.HeaderCorrelation, ids.Get(correlation.HeaderCorrelation))
	reserved, err := h.reserve(r)
	if err != nil {
		return nil, err
	}
	defer h.room.Release(reserved)
	// The server's own deadline may be shorter. A recorder, in tests, has none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.cfg.ReadTimeout + h.cfg.Timeout + answerTime))
	items, err := h.read(w, r, ids)
	if err != nil {
		return items, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	return items, h.publish(ctx, items)
}

// check refuses what can be refused by its head.
func check(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.URL.Path != Path:
		return errNoRoute
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return errMethod
	case r.Header.Get("Origin") != "":
		return errBrowser
	case r.Header.Get("Content-Encoding") != "":
		return errEncoded
	}
	return nil
}

// reserve takes room for the body.
func (h *Handler) reserve(r *http.Request) (int64, error) {
	size := r.ContentLength
	if size > h.cfg.MaxBodyBytes {
		return 0, h.errBody()
	}
	if size < 0 {
		size = h.cfg.MaxBodyBytes
	}
	if !h.room.TryAcquire(size) {
		return 0, errBusy
	}
	return size, nil
}

// fail answers with a problem, and logs what is not the caller's doing.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, items []item, err error) {
	p := problemOf(err)
	p.Events = accounts(items)
	h.counted.count(items)
	h.counted.refused(p.Status)
	if p.Status == http.StatusServiceUnavailable && !errors.Is(r.Context().Err(), context.Canceled) {
		h.cfg.Log.WarnContext(r.Context(), "events not known to be kept", "events", len(items), "error", err,
			"correlation_id", w.Header().Get(correlation.HeaderCorrelation))
	}
	p.write(w)
}
