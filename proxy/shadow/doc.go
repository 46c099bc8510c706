// Package shadow repeats a share of a route's requests on the other side, after the
// client has its answer, and has proxy/diff compare the two: the legacy app answers and
// the new API is watched, or the other way round. The client's exchange is not changed
// or delayed by it, whatever the other side does.
//
// What an exchange engine has to do for it, where c may be nil (this request is not
// copied) and every method of a nil Capture does nothing:
//
//	c := shadows.Start(route, r)                  // route: *shadow.Route, nil for none
//	r.Body, w = c.Request(r.Body), c.Writer(w)    // before the primary side is asked
//	...
//	c.End(err, primary, other)                    // two Sides; an error: no comparison
//
// A Side's http.Handler answers as the client would be answered: the engine itself, bound to
// that side. It runs on the pool's goroutines after the client's exchange is over, and so must
// not touch what belongs to it (the request that it gets is a copy).
//
// Each copy that Start returned ends with exactly one Outcome, counted by route (Stats)
// and told to Config.Observe. Differences go to the route's diff.Ledger (Book) and, as
// samples, to Config.Samples.
//
// # Caveats
//
//   - Nothing waits: a copy is dropped, and counted, when the queue or the bytes are
//     full. Bodies of both sides stay below Config.Bytes; beside them is the JSON of
//     what is being compared, large bodies one comparison at a time.
//   - Only GET, HEAD and OPTIONS are repeated. Other methods have effects; the route
//     must name them, and the request must carry a token by which the other side knows
//     that it had this request before. Such requests are sent once: no check again, no
//     noise call.
//   - A request whose body is longer than MaxBody, or was not read to its end by the
//     primary side, is not sent at all (Capped, Unread): half a request is another
//     request. An answer that is capped is compared in part.
//   - Server-sent events, gRPC and upgraded connections are not copied (Stream).
//   - Each repeated request carries Banyan-Shadow, so that the side can leave out mails
//     and statistics; a proxy must remove that header from what clients send.
//   - A late read model is waited for: where Recheck says so, a difference counts only
//     when it is still there after the last check. Noise calls and checks are further
//     requests, to the legacy side too.
//   - A Handler that ignores its request's context holds a worker, and Close.
package shadow
