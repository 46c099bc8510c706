// Package eventually has tests wait for what must happen, and not for a time.
package eventually

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen at all: enough for a machine that stalls.
const Patience = 3 * time.Minute

// True waits until ok, which it calls again and again, reports true. It ends the test where that
// is not so within Patience. what says what is waited for.
func True(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
