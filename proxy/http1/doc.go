// Package http1 is the HTTP/1.1 client of a forwarding proxy, as an http.RoundTripper:
//
//	t := &http1.Transport{MaxConns: 500}
//	resp, err := t.RoundTrip(req)
//
// It differs from net/http's Transport in what a proxy must promise:
//
//   - A request is sent at most once, unless nothing of it was sent or it is a GET or
//     HEAD without a body and the upstream closed a pooled connection instead of
//     answering. net/http also repeats a POST or DELETE with an Idempotency-Key.
//   - A request leaves as it is: the target in URL.Opaque byte for byte, no User-Agent,
//     no Accept-Encoding.
//   - An answer that can be understood in two ways is refused (MalformedError), its head
//     is bounded, and a 101 that nobody asked for ends the connection.
//   - The exchange runs on the caller's goroutine. Only a request body of more than 32 KiB,
//     or of unknown length, is sent by a second one, which has ended when RoundTrip
//     returns an error, or when the answer's Body is closed.
//
// # Caveats
//
//   - The package has no timeouts but those of connecting and of idle connections: the
//     caller ends the request's context when a first byte, the next byte or the whole
//     takes too long. Errors wrap context.Cause.
//   - The Body of a request must end a blocked Read when it is closed. That of a net/http
//     server does not: a Close around it has to set the read deadline, by
//     http.ResponseController. Such a server needs EnableFullDuplex for an answer that comes
//     before the body's end, and has to say "Connection: close" in it: after a Read that a
//     deadline ended, net/http takes the rest of the body for the next request.
//   - A request body of at most 32 KiB is read whole before anything is sent.
//   - The answer's Body must be closed, as with net/http, and the answer is never
//     decompressed.
//   - A connection is looked at before it is used again, and connections rest for at most
//     IdleTimeout. An upstream that closes one just while a request arrives still costs
//     that request: keep IdleTimeout below the upstream's own.
//   - Pools are kept by URL.Host, for ever: upstreams come from configuration, not from clients.
package http1
