package target_test

import (
	"net/http"
	"sync/atomic"
	"testing"
)

// TestAChangeIsOneRequest where there are no unique entries, unless something newer stands there.
func TestAChangeIsOneRequest(t *testing.T) {
	var sent atomic.Int64
	w := newWorldOf(t, freePlan, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			sent.Add(1)
			h.ServeHTTP(rw, r)
		})
	})
	for _, c := range []struct {
		change, stays version
		requests      int64
	}{
		{version{at: 5}, version{at: 5}, 1},
		{version{at: 7, email: "a"}, version{at: 7, email: "a"}, 1},
		{version{at: 6, email: "late"}, version{at: 7, email: "a"}, 2}, // refused, and looked at
		{version{at: 8, deleted: true}, version{at: 8, deleted: true}, 1},
		{version{at: 7, email: "repeated"}, version{at: 8, deleted: true}, 2},
		{version{at: 9}, version{at: 9}, 1},
	} {
		before := sent.Load()
		w.apply("x", c.change)
		if n := sent.Load() - before; n != c.requests {
			t.Errorf("%+v took %d requests, want %d", c.change, n, c.requests)
		}
		w.mustHold(map[string]version{"x": c.stays})
	}
}
