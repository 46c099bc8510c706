package sidecar

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/banyan-fig/banyan/events/correlation"
)

// Path is the path that events are posted to.
const Path = "/events"

// responseTime is reserved for writing the response after the publisher's outcome.
const responseTime = 10 * time.Second

// Handler accepts events over HTTP, see the package comment. Safe for concurrent
// use.
type Handler struct {
	cfg           Config
	requestSlots  *semaphore.Weighted // of requests
	bytesInFlight *semaphore.Weighted
	counted       counters
}

// New makes a handler. It fails when the config is wrong.
func New(cfg Config) (*Handler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Handler{
		cfg:           cfg,
		requestSlots:  semaphore.NewWeighted(int64(cfg.MaxRequests)),
		bytesInFlight: semaphore.NewWeighted(cfg.MaxInFlightBytes),
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

// serve handles a request and returns its events with their outcomes, as far as it has read them.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) ([]item, error) {
	if err := checkHead(w, r); err != nil {
		return nil, err
	}
	if !h.requestSlots.TryAcquire(1) {
		return nil, errBusy
	}
	defer h.requestSlots.Release(1)
	ids := correlationOf(r.Header)
	w.Header().Set(correlation.HeaderCorrelation, ids.Get(correlation.HeaderCorrelation))
	reserved, err := h.reserveBytes(r)
	if err != nil {
		return nil, err
	}
	defer h.bytesInFlight.Release(reserved)
	// The server's own deadline may be shorter. A recorder, in tests, has none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(h.cfg.ReadTimeout + h.cfg.Timeout + responseTime))
	items, err := h.read(w, r, ids)
	if err != nil {
		return items, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	return items, h.publish(ctx, items)
}

// checkHead refuses requests by their method, path and headers.
func checkHead(w http.ResponseWriter, r *http.Request) error {
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

// reserveBytes reserves capacity for the body, and returns how much.
func (h *Handler) reserveBytes(r *http.Request) (int64, error) {
	size := r.ContentLength
	if size > h.cfg.MaxBodyBytes {
		return 0, h.errBody()
	}
	if size < 0 {
		size = h.cfg.MaxBodyBytes
	}
	if !h.bytesInFlight.TryAcquire(size) {
		return 0, errBusy
	}
	return size, nil
}

// fail responds with a problem, and logs failures that the caller did not cause.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, items []item, err error) {
	p := problemOf(err)
	p.Events = accounts(items)
	h.counted.count(items)
	h.counted.countStatus(p.Status)
	if p.Status == http.StatusServiceUnavailable && !errors.Is(r.Context().Err(), context.Canceled) {
		h.cfg.Log.WarnContext(r.Context(), "events not known to be kept", "events", len(items), "error", err,
			"correlation_id", w.Header().Get(correlation.HeaderCorrelation))
	}
	p.write(w)
}
