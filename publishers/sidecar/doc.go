// Package sidecar lets a legacy application in any language publish: an HTTP
// handler that accepts CloudEvents in the binary, the structured and the batch mode
// of the CloudEvents HTTP binding (parsed by the CloudEvents SDK), hands them to a
// publisher, and responds when they are kept.
//
// # Caveats
//
//   - There is no authentication. It is meant for a loopback address or a unix
//     socket, and refuses what comes from a browser (a request with an Origin).
//   - A response with 503 may mean that the outcome is unknown: where the event's account says
//     "unknown", the event may be published later. Send it again with the
//     same id; consumers recognize the duplicate.
//   - Order holds for one partition key, for requests of which one was answered
//     before the next was sent, and inside a batch. Two requests at once have no
//     order. To retry part of a batch, send everything again from the first event
//     that was not kept, not only the ones that failed.
//   - Only JSON is carried, and of the extensions only those of package events;
//     other attributes are dropped, and the account of the event names them.
//
// # The request
//
// POST /events. An event needs id, source, type, partitionkey and JSON data. An
// id is never generated, since a retry must carry the same. Other missing
// attributes are set:
//
//	time           the present
//	sequence       the next reading of this process' clock
//	dataversion    1
//	traceparent    that of the request (Traceparent), or a new trace
//	correlationid  that of the request (X-Correlation-Id), or a new one
//	causationid    that of the request (X-Causation-Id), or the correlation id
//
// Values of ce- headers are percent-decoded as the HTTP binding says (3.1.3.2).
//
// # The response
//
// 200 when every event of the request is kept, with one account for each, in
// their order:
//
//	{"events": [{"id": "…", "kept": "stream", "position": "000…4711.000000"}]}
//
// kept is "stream" (with the position), "spool" (on disk, and sent from there),
// "no" or "unknown". A single event on the stream has its position in the header
// Banyan-Written too. Any other response is a problem (RFC 9457), with the accounts
// of the events that were parsed; nothing of a request is published before all of
// its events are found valid.
//
//	400  it is not an event, or a malformed one; the detail names the attribute.
//	     Data has to fit where Config.Check knows the type and version
//	403  it comes from a browser
//	404, 405  only POST /events exists
//	408  the body arrived too slowly
//	413  too many bytes or events, or an event that does not fit the stream
//	415  neither CloudEvents nor JSON
//	429  too many requests at once: wait for Retry-After and repeat
//	503  the stream or the spool does not accept it now, or not in time: wait for
//	     Retry-After and repeat with the same ids
package sidecar
