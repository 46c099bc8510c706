// Package conformance says what an HTTP/1.1 proxy between clients and two APIs may do: over
// a hundred attacks and odd requests, and about as many things that upstreams do, as data,
// sent over raw sockets along each kind of route. Run takes them to any proxy that is set
// up before its Backend; NGINX and HAProxy are such targets, for comparison.
//
//	conformance.Run(t, conformance.Target{Name: "mine", Start: startMine})
//
// A case is a text that a client sends, another that the upstream answers, and a Want. What
// is wanted by default is the whole point of a proxy: the upstream sees the request once, as
// it was sent, and the client its answer. What holds of every case beside that is strictness:
// whatever a target sends to either side must have one meaning only, so that a smuggled
// request or a split answer cannot hide, and the next request on the connection, and one on
// another connection, get their own answers.
//
// # Caveats
//
//   - One case, `go test ./proxy -run 'TestConformance/^name$'`: of a name only the part before
//     a slash is looked at, and spaces are underscores, as in all tests.
//   - What is a SHOULD in the RFCs, or their silence, allows both ways; the cases say which.
//   - A mapped route maps {"a":1} and the echoed answers to themselves, so that the same bytes
//     are wanted of all kinds.
package conformance
