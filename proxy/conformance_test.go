package proxy_test

import (
	"context"
	"testing"

	"github.com/banyan-fig/banyan/proxy"
	"github.com/banyan-fig/banyan/proxy/conformance"
	"github.com/banyan-fig/banyan/proxy/route"
)

func startForConformance(t testing.TB, b conformance.Backend) (address string, stop func()) {
	table, err := route.Compile("conformance.yaml", []byte(b.Routes()), conformance.Env)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(t.Context(), table, proxy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server, err := p.Listen("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, 0, 0) }()
	return server.Addr().String(), func() {
		end()
		<-ended // what it says of exchanges that clients left open is not looked at
		p.Close()
	}
}

// TestConformance holds the proxy to all cases, on each kind of route.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Target{Name: "banyan-proxy", Start: startForConformance})
}
