//go:build linux

// Command bench measures what a request through banyan-proxy costs beside nginx, HAProxy,
// Caddy and a bare httputil.ReverseProxy with a buffer pool, each on one core:
//
//	make bench-proxy                          a table, some minutes
//	go run ./proxy/bench --quick              the same, less precise
//	JSON=1 go run ./proxy/bench               one line a figure
//	go run ./proxy/bench --profile=DIR        a CPU profile of banyan-proxy under each shape of request
//
// The proxies are processes of their own, set up as their operators would: connections are
// kept alive on both sides, the client's address and a trace context go on, and there is no
// access log. nginx and HAProxy are those of the machine (apt-get install nginx-light
// haproxy), Caddy is built from its module; those that cannot be had are named as SKIPPED.
// The clients and the APIs behind are this process, in one thread on the other core. Run it
// from the root of the repository, on Linux.
//
// CPU is what the proxy's process used for a request, user and system. All take turns, and
// a figure is the median of the rounds' ratios to nginx in the same round, since a machine's
// speed changes while one measures.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/banyan-fig/banyan/infra/figures"
)

type flags struct {
	Rounds  int           `help:"Rounds that a figure is the median of." default:"7"`
	Run     time.Duration `help:"How long one proxy is under load in a round." default:"2s"`
	Idle    int           `help:"Idle connections, of which the memory is measured." default:"10000"`
	Cases   []string      `help:"What to measure: ${enum}." enum:"cpu,latency,shadow,memory,reload" default:"cpu,latency,shadow,memory,reload"`
	Proxies []string      `help:"Beside banyan-proxy: ${enum}." enum:"nginx,haproxy,caddy,reverseproxy" default:"nginx,haproxy,caddy,reverseproxy"`
	Profile string        `help:"Write profiles into this directory, and measure nothing." type:"path"`
	Quick   bool          `help:"3 rounds of 300 ms, 2,000 idle connections."`
	JSON    bool          `name:"json" help:"One line of JSON a figure instead of the table." env:"JSON"`

	ReverseProxy string `help:"Be the bare ReverseProxy that listens here." hidden:""`
	To           string `help:"What the bare ReverseProxy forwards to." hidden:""`
}

// Validate is called by kong: what is wrong is wrong usage.
func (f flags) Validate() error {
	if f.Rounds < 1 || f.Run <= 0 || f.Idle < 1 {
		return errors.New("rounds, run and idle must be positive")
	}
	return nil
}

func main() {
	var f flags
	figures.Main(&f, "Measures what a request through banyan-proxy costs, beside other proxies.", kong.Vars{},
		func(ctx context.Context) error { return f.run(ctx) })
}

func (f flags) run(ctx context.Context) error {
	if f.ReverseProxy != "" {
		return serveReverseProxy(ctx, f.ReverseProxy, f.To)
	}
	if f.Quick {
		f.Rounds, f.Run, f.Idle = 3, 300*time.Millisecond, 2000
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cores := figures.ChooseCores()
	w, err := newWorld(ctx, cores, f.Profile != "")
	if err != nil {
		return err
	}
	defer w.close()
	pinning := cores.Reason
	if pinning == "" {
		pinning = fmt.Sprintf("each proxy on core %d, clients and APIs on core %d", cores.Measured, cores.Other)
	}
	m := &measurement{flags: f, world: w, report: figures.Report{Bench: "proxy", Out: os.Stdout, JSON: f.JSON}}
	m.report.Head(fmt.Sprintf("%s\n%d connections kept alive, answers of %d bytes, median of %d rounds of %s (least to most)",
		pinning, connections, len(body("old")), f.Rounds, f.Run))
	// The clients' thread is that of this goroutine.
	if err := figures.On(cores.Other, m.all); err != nil {
		return err
	}
	for _, s := range w.skipped {
		fmt.Fprintln(os.Stderr, "SKIPPED", s)
	}
	m.report.Foot(footnote)
	return nil
}

const footnote = `
legacy: no route matches, the old API answers as it likes. forwarded: the new API, body as it is.
mapped: the new API, its answer of ten items in the old shape. token: forwarded, after a token was
verified. few: a route file of four routes; literal, parameter and parameter-first: of a thousand,
/api/v1/NAME/items, /api/v1/NAME/{id} and /{tenant}/NAME/{id}. p99 is of requests sent at fixed times, half
as many as banyan-proxy could answer on its core, waiting for a connection included; busy says how much of
the core that takes, which is more than half: with no queue, each request wakes the proxy twice. shadow-on:
each request is also sent to the new API and compared, all on one core, at a quarter of its throughput; spread:
at an eighth, over all cores, with clients that sleep between requests, so that two cores have something to
spare. Of the figures those in us, KB and ms depend on the machine and the hour; the ratios less so, but for
those of p99.`

// buffers are those of the bare ReverseProxy.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte  { return *b.Pool.Get().(*[]byte) }
func (b *buffers) Put(v []byte) { b.Pool.Put(&v) }

// serveReverseProxy is what a few lines of Go give, without any of the proxy's duties.
func serveReverseProxy(ctx context.Context, address, to string) error {
	target, err := url.Parse(to)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Transport:  &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		BufferPool: &buffers{sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}},
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
	}}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return server.ListenAndServe()
}
