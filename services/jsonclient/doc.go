// Package jsonclient is what hand-written clients of JSON APIs (see package httpjson) are made
// of: a type for the service embeds a [Client], and each method of it makes one [Call].
//
//	func (c *Orders) Get(ctx context.Context, id string) (o Order, err error) {
//		_, err = c.Do(ctx, jsonclient.Call{Method: http.MethodGet, Path: "/v1/orders/" + url.PathEscape(id), Out: &o})
//		return o, err
//	}
//
// Caveats first:
//
//   - Every call must be idempotent, also one that creates: let the caller choose the id. It is
//     repeated when its response was lost, the service failed, or requests a retry. It can
//     therefore take as long as its context, or Config.Timeout where that has no deadline.
//   - While the circuit breaker is open, calls wait for it as between attempts, and
//     fail with ErrUnavailable when their time is up.
//
// Correlation ids of the context go along.
package jsonclient
