// Package client is the hand-written client of the users service; see package jsonclient for
// deadlines, retries and the circuit breaker.
//
// Caveats first:
//
//   - Every call is idempotent, also Create, because the caller chooses the id; so
//     every call is repeated when its response was lost.
//   - Create returns no error when the user is there already with the same e-mail,
//     even if the name or the password differ.
//
// A Client is safe for concurrent use.
package client
