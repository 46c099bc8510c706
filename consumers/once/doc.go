// Package once writes guarded steps to DynamoDB, many to a transaction.
//
// A [Step] is what must happen together or not at all: some items with
// conditions, and additions to counters. A step whose condition does not hold
// is dropped, which is how a stale or repeated delivery changes nothing; it
// takes no other step with it. Steps of different callers that wait at the same
// moment share a transaction, up to the 100 items and 4 MB that one may have,
// so that the number of requests for each event falls as the load grows.
// Additions to one counter by several steps are added up: a transaction may
// name an item only once.
//
// Caveats: a step is carried out at least once, not exactly once, when a
// request times out after it took effect; so every step must carry a condition
// that its own effect ends, or be idempotent. Steps of one call to [Group.Do]
// are independent of each other and in no order.
package once
