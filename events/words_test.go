package events_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Text is looked at by words of eight bytes, so whatever is wrong has to be found
// at each place of a word, before, between and behind what is fine, and nothing
// else may be: encoding/json is the judge of data, a loop over bytes that of
// attributes.
func TestWordsFindEachByteAtEachPlace(t *testing.T) {
	for length := range 36 {
		for at := range length {
			for _, c := range []byte("\x00\x01\x1f !\"#[\\]z~\x7f\x80\x9f\xa0\xa2\xc3\xdc\xff") {
				b := []byte(strings.Repeat("~ !#[]az", 5)[:length])
				b[at] = c
				checkData(t, b)
				checkAttribute(t, string(b))
			}
		}
	}
}

func TestWordsFindManyAtOnce(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 3))
	bytes := []byte("abc~! 09\x1f\x20\x21\x22\x23\x5b\x5c\x5d\x7e\x7f\x80\x81\xa2\xc3\xdc\xff\x00")
	for range 10_000 {
		b := make([]byte, rnd.IntN(40))
		for i := range b {
			b[i] = bytes[rnd.IntN(len(bytes))]
			if rnd.IntN(4) > 0 {
				b[i] = 'x'
			}
		}
		checkData(t, b)
		checkAttribute(t, string(b))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func checkData(t *testing.T, inside []byte) {
	t.Helper()
	text := `"` + string(inside) + `"`
	want := json.Valid([]byte(text)) && isUTF8(text)
	if got := change(func(e *events.Event) { e.Data = json.RawMessage(text) }).Validate() == nil; got != want {
		t.Errorf("data %q: taken %v, want %v", text, got, want)
	}
}

func isUTF8(s string) bool { return strings.ToValidUTF8(s, "?") == s }

// checkAttribute also compares what is written with what encoding/json reads.
func checkAttribute(t *testing.T, s string) {
	t.Helper()
	want := s == "" || isUTF8(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 })
	b, err := events.Encode(change(func(e *events.Event) { e.Subject = s }))
	if (err == nil) != want {
		t.Errorf("subject %q: %v, want it taken: %v", s, err, want)
		return
	}
	var read struct{ Subject string }
	if err == nil && (json.Unmarshal(b, &read) != nil || read.Subject != s) {
		t.Errorf("subject %q became %q in %s", s, read.Subject, b)
	}
}

func TestSequenceHasDigitsOnly(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			sequence := []byte("01479729600000000005")
			sequence[at] = byte(c)
			want := c >= '0' && c <= '9'
			if got := change(func(e *events.Event) { e.Sequence = string(sequence) }).Validate() == nil; got != want {
				t.Errorf("sequence %q: taken %v, want %v", sequence, got, want)
			}
		}
	}
}

// The judge of times is the standard library.
func TestTimesAreWrittenAsRFC3339(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 4))
	first, last := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	times := []time.Time{first, last, time.Unix(0, 0), time.Date(2024, 2, 29, 23, 59, 59, 1, time.UTC)}
	for range 5000 {
		at := time.Unix(first.Unix()+rnd.Int64N(last.Unix()-first.Unix()), 0)
		scale := []time.Duration{1, 100, time.Microsecond, time.Millisecond, 100 * time.Millisecond, time.Second}[rnd.IntN(6)]
		at = at.Add(time.Duration(rnd.Int64N(int64(time.Second))) / scale * scale)
		times = append(times, at.In(time.FixedZone("", rnd.IntN(86400)-43200)))
	}
	for _, at := range times {
		b, err := events.Encode(change(func(e *events.Event) { e.Time = at }))
		if want := at.UTC().Format(time.RFC3339Nano); err != nil || !strings.Contains(string(b), `"time":"`+want+`"`) {
			t.Fatalf("seed %d: %s, %v, want %s", seed, b, err, want)
		}
	}
	for _, at := range []time.Time{first.Add(-1), last.Add(1)} {
		if _, err := events.Encode(change(func(e *events.Event) { e.Time = at })); err == nil {
			t.Errorf("%v was written", at)
		}
	}
}
