package main

import (
	"time"

	"github.com/banyan-fig/banyan/publishers/kinesis"
)

// serveMetrics is the body of /metrics.json; counts are since the start, times in
// milliseconds.
type serveMetrics struct {
	Sidecar sidecarMetrics `json:"sidecar"`
	outletMetrics
}

type sidecarMetrics struct {
	Requests  int64 `json:"requests"`
	Kept      int64 `json:"events_kept"`
	NotKept   int64 `json:"events_not_kept"`
	Unknown   int64 `json:"events_unknown"`
	Malformed int64 `json:"requests_malformed"`
	Busy      int64 `json:"requests_busy"`
	Failed    int64 `json:"requests_failed"`
}

// outletMetrics are those of the outlet; null where a part does not exist, or not yet.
type outletMetrics struct {
	Publisher *publisherMetrics `json:"publisher"`
	Spool     *spoolMetrics     `json:"spool"`
}

type publisherMetrics struct {
	Events       int64   `json:"events"`
	Bytes        int64   `json:"bytes"`
	Failed       int64   `json:"failed"`
	Records      int64   `json:"records"`
	Requests     int64   `json:"requests"`
	Retries      int64   `json:"retries"`
	Throttles    int64   `json:"throttles"`
	Doubts       int64   `json:"doubts"`
	Refused      int64   `json:"refused_requests"`
	Misplaced    int64   `json:"misplaced"`
	Reshards     int64   `json:"reshards"`
	Pending      int     `json:"pending"`
	PendingBytes int     `json:"pending_bytes"`
	Waiting      int     `json:"waiting"`
	OldestMS     float64 `json:"oldest_ms"`
	Shards       int     `json:"shards"`
	LastError    string  `json:"last_error,omitempty"` // of a shard that accepts nothing now
}

func publisherMetricsOf(s kinesis.Stats) *publisherMetrics {
	m := &publisherMetrics{
		Events: s.Events, Bytes: s.Bytes, Failed: s.Failed, Records: s.Records, Requests: s.Requests, Retries: s.Retries,
		Throttles: s.Throttles, Doubts: s.UnknownOutcomes, Refused: s.Refused, Misplaced: s.Misplaced, Reshards: s.Reshards,
		Pending: s.Pending, PendingBytes: s.PendingBytes, Waiting: s.Waiting, OldestMS: milliseconds(s.OldestAge), Shards: s.Shards,
	}
	for _, shard := range s.PerShard {
		if shard.Failing != "" {
			m.LastError = shard.Failing
		}
	}
	return m
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
