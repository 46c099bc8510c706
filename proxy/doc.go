// Package proxy is the forwarding proxy in front of the monolith: clients keep calling
// the old endpoints, and a route file says which of them are served by a new API
// instead. A Proxy is an http.Handler:
//
//	table, err := proxy.LoadFile("routes.yaml")
//	p := proxy.New(table, log)
//	reloader := &proxy.Reloader{Proxy: p, Path: "routes.yaml", Log: log}
//	go reloader.Run(ctx)
//	http.ListenAndServe("127.0.0.1:8080", p)
//
// The command banyan-proxy does that; README.md is its quick start, and routes.md the
// reference of the route file.
//
// # Caveats
//
//   - The proxy never retries a request that may have changed something.
//     Only GET and HEAD fall back to the legacy side when a new API fails.
//   - Reads follow writes within one proxy process: the position of a
//     subject's last write is remembered here, in a bounded table, and asked
//     for when that subject's reads are forwarded. Another proxy does not
//     know it. Put a subject's requests on one proxy (the load balancer's
//     stickiness) until the table is shared.
//   - A request without a valid token has no subject. It always goes to the
//     legacy side, which answers it (also with its own 401) as it always did.
//
// # Inside
//
// A route file goes through parse (routefile.go, template.go), compile
// (compile.go) to an immutable Table (table.go), and swap in one atomic step
// (reload.go). A file that does not compile leaves the table in use; its
// errors name file, line and column. A request goes through decide
// (table.go, subject.go, cohort.go) and forward (handler.go, forward.go).
package proxy
