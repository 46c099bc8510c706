// Package proxy is the forwarding proxy in front of the monolith: clients keep calling
// the old endpoints, and a route file says which of them are served by a new API
// instead. A Proxy is an http.Handler:
//
//	table, err := route.LoadFile("routes.yaml")
//	p, err := proxy.New(ctx, table, proxy.Config{Log: log})
//	server, err := p.Listen("127.0.0.1:8080", nil)
//	err = server.Run(ctx, 0, 10*time.Second)
//
// The command banyan-proxy does that; README.md is its quick start, and route/routes.md the
// reference of the route file.
//
// # Caveats
//
//   - What is not forwarded passes as it came: target and bodies byte for byte, header
//     lines with their values and order within a name. net/http's server before it gives
//     header names their canonical case, does not keep the order of different names, and
//     sends the usual phrase beside a status.
//   - A request is sent once. Only a GET or HEAD without a body goes to the legacy side when a
//     new API fails, or anew when a pooled connection turns out to be closed.
//   - No time limit counts what moves: an answer may take hours if bytes keep coming, in either
//     direction, unless a route sets a total. What does not move for the idle time ends. A body
//     that is mapped, or is sent on as a whole (up to 32 KiB), must arrive within that time.
//   - Where a body is mapped, the answer is another representation: ranges and dates of the new
//     API's are not asked for, its tag (ETag) comes back as one of the proxy's own.
//   - An answer that cannot be mapped is no failed upstream, and no fallback hides it: a GET or
//     HEAD gets the proxy's own 502, the client of a write the answer as it is, with its status,
//     since the write took effect. Both count as answer-unmappable, which is the route file's
//     fault: shadow a route before it is forwarded.
//   - Reads follow writes as far as the proxy knows the subject's last one: from this process,
//     from the client (positions of the route file) or from a table in DynamoDB. With neither
//     of these two, put a subject's requests on one proxy (the load balancer's stickiness).
//   - Routes that follow an entity go by its record as it was read last, some 250 ms ago. A
//     write with a body of over 32 KiB, or of unknown length, that is held keeps its place
//     until the wait ends, also if its client goes away.
//   - A request without a valid token has no subject. It goes to the legacy side, which answers
//     it (also with its own 401) as it always did, unless the route is public.
//
// # Inside
//
//	front.go     what may come in, whichever side it goes to
//	exchange.go  a request on its way: plan, ask a side, fall back, observe
//	held.go      a write whose entity is about to change its owner
//	body.go      the client's body; watch.go ends what does not move
//	mapped.go    whole messages from one shape to the other
//	deliver.go   the answer on its way to the client; tunnel.go for web sockets
//	failure.go   whose fault it was, and what the client is told
//	spans.go     what OpenTelemetry is told, where it is asked for
//
// Beside it: route (the file, the table, the decision), mapping (the templates), subject (who
// a request is), follow (who owns an entity), upstream and http1 (the connections), override, written, observation.
package proxy
