package streams

import "sync"

// Status is a mapping's state as its owner reads it. It is safe for concurrent
// use.
type Status struct {
	mu     sync.Mutex
	result string
	begun  bool
	ready  chan struct{}
}

// NewStatus returns the status of a mapping that has not read anything yet.
func NewStatus() *Status {
	return &Status{result: "No records processed", ready: make(chan struct{})}
}

// Result is the LastProcessingResult of the API.
func (s *Status) Result() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

// Ready is closed once all shards that were to be begun at the start have been:
// a record put from then on is read.
func (s *Status) Ready() <-chan struct{} { return s.ready }

func (s *Status) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		close(s.ready)
	}
}

func (s *Status) ok() { s.set("OK") }

func (s *Status) problem(what string) { s.set("PROBLEM: " + what) }

func (s *Status) set(result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result = result
}
