package main

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// metrics is the answer of /metrics.json; counts are since the start.
type metrics struct {
	WritesHeld         int64           `json:"writes_held"`
	LongestWriteHoldMS float64         `json:"longest_write_hold_ms"`
	EventsPublished    int64           `json:"events_published"`
	EventsSwept        int64           `json:"events_swept"`
	Requests           int64           `json:"requests"`
	Errors             int64           `json:"errors"`
	Owner              ownership.Store `json:"owner"`
	Epoch              int64           `json:"epoch"`
	Phase              ownership.Phase `json:"phase"`
	ControlErrors      int64           `json:"control_errors"`
}

func newAdmin(p *parts) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.member.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /metrics.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.metrics())
	})
	return mux
}

func (p *parts) metrics() metrics {
	s := p.member.Stats()
	return metrics{
		WritesHeld: s.WritesHeld, LongestWriteHoldMS: float64(s.LongestHold) / float64(time.Millisecond),
		EventsPublished: p.service.Published(), EventsSwept: p.outbox.swept.Load(), Requests: p.handler.Requests(), Errors: p.handler.Failures(),
		Owner: s.Owner, Epoch: s.Epoch, Phase: s.Phase, ControlErrors: s.ControlErrors,
	}
}
