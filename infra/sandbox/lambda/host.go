package lambda

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/environment"
)

// ErrClosed is why invocations fail once Close was called.
var ErrClosed = errors.New("lambda: the host is closed")

// Host is a Lambda of one account in one region. It is an http.Handler for
// Lambda's API and safe for concurrent use. Close it.
type Host struct {
	cfg     Config
	routes  *http.ServeMux
	codes   codeStore
	spawner *environment.Spawner
	clients *clients
	out     *lineWriter

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines and requests

	mu        sync.Mutex
	closed    bool
	functions map[string]*function
	mappings  map[string]*mapping
	layers    map[string]*layer
	running   int // invocations under way, of all functions
	queued    int // events that wait or run
	random    *rand.Rand
}

// New starts a host without functions.
func New(cfg Config) (*Host, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lambda: configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	dir, err := ownDirectory(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("lambda: making a directory for functions' code: %w", err)
	}
	h := &Host{
		cfg: cfg, codes: codeStore{dir: dir, byID: map[string]*code{}}, spawner: environment.NewSpawner(), clients: newClients(cfg),
		functions: map[string]*function{}, mappings: map[string]*mapping{}, layers: map[string]*layer{},
		random: rand.New(rand.NewPCG(cfg.Seed, 0x6c616d626461)),
	}
	if cfg.Log != nil {
		h.out = &lineWriter{w: cfg.Log}
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.routes = h.routing()
	h.wg.Go(h.reap)
	return h, nil
}

// begin counts a goroutine or request that Close has to wait for; end it with
// h.wg.Done.
func (h *Host) begin() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beginLocked()
}

func (h *Host) beginLocked() error {
	if h.closed {
		return ErrClosed
	}
	h.wg.Add(1)
	return nil
}

// Log returns the end of a function's output, or nothing if there is no such
// function.
func (h *Host) Log(function string) []byte {
	h.mu.Lock()
	f := h.functions[function]
	h.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.log.bytes()
}

// Close ends all mappings, invocations and processes and removes the code. It
// waits for them until ctx ends; the error is then the context's, and the rest
// goes on in the background. Events that wait are lost. Closing again waits for
// the first time.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	again := h.closed
	h.closed = true
	pools := h.pools()
	h.mu.Unlock()
	h.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, p := range pools {
			p.retire()
		}
		h.wg.Wait()
		if again {
			return
		}
		h.spawner.Close()
		h.clients.close()
		_ = os.RemoveAll(h.codes.dir)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("lambda: waiting for functions to end: %w", ctx.Err())
	}
}

// pools lists the pools of all revisions; mu is held.
func (h *Host) pools() []*pool {
	var out []*pool
	for _, f := range h.functions {
		out = append(out, &f.latest.pool)
		for _, v := range f.versions {
			out = append(out, &v.pool)
		}
	}
	return out
}

// reap ends execution environments that have been idle for too long.
func (h *Host) reap() {
	ticker := time.NewTicker(max(h.cfg.IdleTimeout/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		h.mu.Lock()
		pools := h.pools()
		h.mu.Unlock()
		for _, p := range pools {
			p.reap(time.Now().Add(-h.cfg.IdleTimeout))
		}
	}
}
