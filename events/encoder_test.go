package events_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

// What an Encoder gives is what Encode gives, and stays so whatever is encoded,
// refused or appended later.
func TestEncoderSharesMemoryButNotBytes(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 5))
	var c events.Encoder
	var got, want [][]byte
	for i := range 2000 {
		e := change(func(e *events.Event) {
			e.Subject = strings.Repeat([]string{"a", `"`, "é"}[rnd.IntN(3)], rnd.IntN(300))
			e.Data = json.RawMessage(`"` + strings.Repeat("x", rnd.IntN(1<<rnd.IntN(16))) + `"`)
		})
		if i%7 == 0 {
			e.ID = "" // refused
		}
		one, err := events.Encode(e)
		other, othersErr := c.Encode(e)
		if (err == nil) != (othersErr == nil) {
			t.Fatalf("seed %d: %v, but %v", seed, othersErr, err)
		}
		if err == nil {
			want, got = append(want, one), append(got, other)
			_ = append(other, "overwritten"...)
		}
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("seed %d: event %d is %s, want %s", seed, i, got[i], want[i])
		}
	}
}

func TestEncoderAllocatesForManyAtOnce(t *testing.T) {
	var c events.Encoder
	e := sample()
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Encode(e) }); n > 0 { // rounded down
		t.Errorf("%v allocations", n)
	}
	text, err := c.Encode(e)
	if err != nil || cap(text) != len(text) {
		t.Errorf("%v, %d bytes with room for %d", err, len(text), cap(text))
	}
}
