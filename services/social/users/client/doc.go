// Package client is the hand-written client of the users service.
//
// Caveats first:
//
//   - Every call is idempotent, also Create, because the caller chooses the id; so
//     every call is repeated when its response was lost, the service failed, or requests
//     a retry. A call can therefore take as long as its context, or
//     Config.Timeout where that has no deadline.
//   - Create returns no error when the user is there already with the same e-mail,
//     even if the name or the password differ.
//   - While the circuit breaker is open, calls wait for it as between attempts, and
//     fail with ErrUnavailable when their time is up.
//
// A Client is safe for concurrent use.
package client
