// Package idempotency makes effects that are outside of a table happen once for each key: a
// payment, a mail, a call of somebody's API. Effects in a table have package once, which
// needs no second write and is exact.
//
//	store := idempotency.New(idempotency.Config{Client: e.DynamoDB, Table: e.Table("IDEMPOTENCY_TABLE")})
//	receipt, err := idempotency.Do(ctx, store, "charge#"+order.ID, func(ctx context.Context) (Receipt, error) {
//		return bank.Charge(ctx, order)
//	})
//
// The first call of a key locks it, has the effect and keeps the answer, which later calls
// get without the effect until it expires. [Middleware] does so for all that a handler does.
//
// # What it promises
//
//   - While an answer is kept, no call of its key has the effect.
//   - Two calls of a key never have the effect at the same time, as long as neither takes
//     longer than Config.Lock, and clocks differ by less than what is left of it.
//   - An effect that returned an error may be had again at once: what returns an error must
//     not have happened, or be told apart by its receiver.
//   - A process that dies within the effect leaves the lock until it ends. Then the effect is
//     had again: whether it happened nobody knows. So give its receiver the key, where it
//     takes one.
//
// It costs two writes a call, and one for a replayed answer. The table has the keys pk and sk
// (texts), and its items expire by the attribute expires. It may be one that others use: the
// items' pk begin with idempotency#.
package idempotency
