package conformance

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// relay is a target that passes bytes and understands nothing of them.
func relay(t testing.TB, b Backend) (address string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	pass := func(from, to net.Conn) {
		_, _ = io.Copy(to, from)
		from.Close()
		to.Close()
	}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", b.Legacy)
			if err != nil {
				client.Close()
				continue
			}
			wg.Go(func() { pass(client, upstream) })
			wg.Go(func() { pass(upstream, client) })
		}
	})
	return l.Addr().String(), func() {
		l.Close()
		wg.Wait()
	}
}

// TestARelayIsSeenThrough: what must be refused is found with a relay, and what it cannot do
// wrong is not.
func TestARelayIsSeenThrough(t *testing.T) {
	harmless := []string{
		"length", "chunks", "query that is empty", "fields that repeat", "answer", "204", "103", "HEAD with chunks", "a trailer in an answer",
		"events one by one", "a web socket", "an answer of 1.5 MB",
	}
	mustRefuse := map[string]bool{}
	for _, c := range slices.Concat(framing(), requests(), fields()) {
		mustRefuse[c.Name] = c.Want.Refused && !c.Want.Or && !c.Want.Silent
	}
	results := resultsOf(t, Target{Name: "relay", Start: relay, Kinds: []Kind{Legacy}}, func(name string) bool {
		return mustRefuse[name] || slices.Contains(harmless, name)
	})
	for _, r := range results {
		if failed := len(r.Problems) > 0; failed != mustRefuse[r.Case] {
			t.Errorf("%s: problems with a relay: %q", r.Case, r.Problems)
		}
	}
	if len(results) < 100 {
		t.Errorf("%d cases, want more than 100", len(results))
	}
}

// TestWhatDoesNotComeEnds: the two ends of a case do not wait for each other for ever, nor for
// a time each part of an answer that is not the upstream's, and what they wait for is told.
func TestWhatDoesNotComeEnds(t *testing.T) {
	alone := func(t testing.TB, _ Backend) (string, func()) { // a target that answers by itself
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("data: y\n\n", 1000))
		}))
		return s.Listener.Addr().String(), func() { s.CloseClientConnections(); s.Close() }
	}
	stepping := []string{
		"events one by one", "parts of a body with a length, one by one", "a web socket that the client ends",
		"a client that leaves before the answer", "a client that leaves during the answer",
		"a connection that closes while idle, then a POST", "408 on an idle connection",
	}
	target := Target{Name: "alone", Start: alone, Kinds: []Kind{Legacy}, Budget: 100 * time.Millisecond}
	results := resultsOf(t, target, func(name string) bool { return slices.Contains(stepping, name) })
	for _, r := range results {
		if len(r.Problems) == 0 {
			t.Errorf("%s: no problem", r.Case)
		}
	}
	if len(results) != len(stepping) {
		t.Errorf("%d cases, want %d", len(results), len(stepping))
	}
}
