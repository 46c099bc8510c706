package streamtest

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// Gate stops the first request with a certain text in it, so that a test can do
// something else meanwhile.
type Gate struct {
	operation, text string
	once            sync.Once
	reached, opened chan struct{}
}

// NewGate waits for a request of the operation with text in its body.
func NewGate(operation, text string) *Gate {
	return &Gate{operation: operation, text: text, reached: make(chan struct{}), opened: make(chan struct{})}
}

// Before is for [Faults].
func (g *Gate) Before(operation, body string) {
	if operation == g.operation && strings.Contains(body, g.text) {
		g.once.Do(func() {
			close(g.reached)
			<-g.opened
		})
	}
}

// Wait returns when the request is at the gate.
func (g *Gate) Wait(t testing.TB) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(time.Minute):
		close(g.opened)
		t.Fatalf("no %s with %q reached the gate", g.operation, g.text)
	}
}

// Open lets the request pass.
func (g *Gate) Open() { close(g.opened) }
