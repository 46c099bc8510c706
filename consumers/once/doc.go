// Package once writes read models to DynamoDB so that each event has its effect once,
// even if it is delivered twice, late, or its handling is interrupted.
//
// # The easy path
//
// A read model of one item a key is a fold and a key, and [Model] does the rest:
//
//	orders, err := once.NewModel(once.ModelConfig[Customer]{
//		Name:   "customer",
//		Client: client,
//		Table:  "orders",
//		Key:    func(m consumers.Message) string { return m.Event.PartitionKey },
//		Fold: func(c *Customer, m consumers.Message) error {
//			c.Orders++
//			return nil
//		},
//	})
//	// orders.Handle is the consumer's handler, orders.Get reads.
//
// # Other shapes
//
// A [Writer] carries out changes. A [Change] is what happens together or not at all:
// ops with conditions, and additions to counters. A change whose condition does not
// hold is dropped, so a stale or repeated delivery changes nothing. Choose
// the condition by what the item contains:
//
//	the item states the present: a name, an edge   Put(key, At(position, ...), Newer(position))
//	the item is a fact that never changes: a post  Put(key, At(position, ...), Absent())
//	it adds up, and no item of its own guards it   Marker(pk, event, position)
//	first of several writes of one event           Put(key, At(position, ...), NotOlder(position))
//	the following writes of that event             Check(key, Exactly(position))
//
// A counter changes together with the item that it counts:
//
//	writer.Apply(ctx, once.Change{
//		Ops:  []once.Op{once.Put(post, once.At(m.Position, nil), once.Absent())},
//		Adds: []once.Add{{Key: author, Deltas: map[string]int64{"posts": 1}}},
//	})
//
// [Writer.Apply] returns what a handler returns: nil, [consumers.ErrStale], or an error
// that is classified for the runtime (see [Classify]).
//
// # Shared transactions
//
// Changes of different callers that wait at the same moment share a transaction, up to
// the 100 items and 4 MB that one may have, so the number of requests for each event
// falls as the load grows. Additions to one counter are added up, so that a counter
// that many events change at once is not a bottleneck. A dropped change does not
// affect the others.
//
// # Caveats
//
//   - A change is carried out at least once, not exactly once, when a request times out
//     after it took effect. So each needs a condition that no longer holds afterwards, or must
//     be idempotent.
//   - Positions of different partition keys say nothing about each other. Guard an item
//     by position only if all its events have one partition key.
//   - A publisher that lost a response sends an event again, which then has a second,
//     later position. An item that states the present tolerates that; a counter needs an item of
//     its own for each event, or a [Marker].
//   - A function needs the rights to PutItem, UpdateItem, DeleteItem and
//     ConditionCheckItem on the table, a [Model] also to GetItem.
package once
