package proxy_test

import (
	"os"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/proxy/conformance"
)

// TestPeersConform runs the cases of legacy routes against this proxy, which has to meet them, and
// others, and writes who does into the file that BANYAN_CONFORMANCE_PROXIES names.
func TestPeersConform(t *testing.T) {
	file := os.Getenv("BANYAN_CONFORMANCE_PROXIES")
	if file == "" {
		t.Skip("SKIPPED: nginx and HAProxy are compared by make conformance-proxy")
	}
	nginx, haproxy := conformance.NGINX(), conformance.HAProxy()
	nginx.Why, haproxy.Why = whyNGINX, whyHAProxy
	ours := conformance.Target{Name: "banyan-proxy", Start: startForConformance, Kinds: nginx.Kinds}
	var table conformance.Table
	table.Add(ours, conformance.Run(t, ours))
	results := map[string][]conformance.Result{}
	var mu sync.Mutex
	t.Run("peers", func(t *testing.T) {
		for _, peer := range []conformance.Target{nginx, haproxy} {
			t.Run(peer.Name, func(t *testing.T) {
				t.Parallel() // they wait for most of the time
				told := conformance.Tell(t, peer)
				mu.Lock()
				defer mu.Unlock()
				results[peer.Name] = told
			})
		}
	})
	for _, peer := range []conformance.Target{nginx, haproxy} {
		if told := results[peer.Name]; told != nil {
			table.Add(peer, told)
		}
	}
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	table.Print(out)
	if err := out.Close(); err != nil {
		t.Error(err)
	}
}
