package shadow_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/proxy/shadow"
)

// TestEveryCopyEndsOnce: many exchanges at a time, of every kind, with sides that do
// anything, limits that are reached and a shadow that is closed at some time: each copy
// ends with one outcome, the bytes stay within their limit and are given back, and what
// the primary side reads is what the client sent.
func TestEveryCopyEndsOnce(t *testing.T) {
	seen := map[shadow.Outcome]int64{}
	for seed := range uint64(6) {
		for o, n := range simulate(t, seed) {
			seen[o] += n
		}
	}
	// The others depend on who is faster; TestOutcomes and TestNothingWaits have each.
	for _, o := range []shadow.Outcome{shadow.Capped, shadow.Unread, shadow.Unsafe, shadow.Stream, shadow.Abandoned} {
		if seen[o] == 0 {
			t.Errorf("no copy ended as %v: the simulation does not reach it", o)
		}
	}
}

func simulate(t *testing.T, seed uint64) map[shadow.Outcome]int64 {
	const limit = 24 << 10
	var s *shadow.Shadow
	var told atomic.Int64
	s = shadow.New(shadow.Config{Workers: 2, Queue: 4, Bytes: limit, Observe: func(r shadow.Result) {
		told.Add(1)
		if h := s.Held(); h > limit {
			t.Errorf("seed %d: %d bytes are held, %d allowed", seed, h, limit)
		}
	}})
	rt := route(t, shadow.Policy{Percent: 100, Methods: []string{"PUT"}, MaxBody: 4 << 10, Noise: 50, Rechecks: 1,
		RecheckAfter: time.Millisecond, Timeout: 2 * time.Millisecond})
	var clients sync.WaitGroup
	var started atomic.Int64
	for client := range uint64(4) {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(seed, client))
			for i := range 100 {
				anyExchange(t, s, rt, r, &started)
				if client == 0 && i == 60 && seed%3 == 0 {
					s.Close()
				}
			}
		})
	}
	clients.Wait()
	if seed%2 == 0 {
		for sum(s) < started.Load() { // what is under way may end by itself
			time.Sleep(time.Millisecond)
		}
	}
	s.Close()
	if sum(s) != started.Load() || told.Load() != started.Load() || s.Held() != 0 {
		t.Errorf("seed %d: %d copies began, %d ended, %d were told, %d bytes are held: %s",
			seed, started.Load(), sum(s), told.Load(), s.Held(), outcomes(s))
	}
	return s.Stats()["orders"]
}

func anyExchange(t *testing.T, s *shadow.Shadow, rt *shadow.Route, r *rand.Rand, started *atomic.Int64) {
	sent := bytes.Repeat([]byte{'b'}, r.IntN(2)*r.IntN(5<<10))
	method := []string{"GET", "PUT", "PUT", "POST"}[r.IntN(4)]
	req, _ := http.NewRequest(method, "http://client.invalid/", io.MultiReader(bytes.NewReader(sent))) // of unknown length
	req.ContentLength = -1
	if r.IntN(3) > 0 {
		req.ContentLength = int64(len(sent))
	}
	req.Header.Set("Idempotency-Key", "k")
	c := s.Start(rt, req)
	started.Add(1) // also those that may not be copied are counted
	body := c.Request(req.Body)
	reading := sync.WaitGroup{}
	unread := r.IntN(8) == 0
	if !unread {
		reading.Go(func() {
			if got, _ := io.ReadAll(body); !bytes.Equal(got, sent) {
				t.Errorf("the primary side read %d bytes of %d", len(got), len(sent))
			}
		})
	}
	if r.IntN(4) > 0 {
		reading.Wait() // else the answer is early
	}
	answer := strings.Repeat("a", r.IntN(5<<10))
	h := http.Header{}
	if r.IntN(20) == 0 {
		h.Set("Content-Type", "text/event-stream")
	}
	c.Head(200, h)
	_, _ = io.WriteString(c, answer)
	var err error
	if r.IntN(10) == 0 {
		err = errors.New("the client has gone")
	}
	c.End(err, anySide(r, answer), anySide(r, answer))
	_, _ = c.Write([]byte("late"))
	reading.Wait()
}

// anySide answers alike, or otherwise, or not, or worse.
func anySide(r *rand.Rand, answer string) shadow.Side {
	handlers := []http.Handler{
		answering("other"), answering("other", answer), hung, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a bug") }),
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(shadow.ErrUnforwarded) }),
		answering(answer + strings.Repeat("a", 4<<10)), answering(answer),
	}
	return shadow.Side{Legacy: r.IntN(2) == 0, Handler: handlers[r.IntN(len(handlers))]}
}
