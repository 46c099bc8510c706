// Package entity is how an entity is encapsulated: one store with both databases behind it,
// from the entity plan that the migration reads. A service is left with its domain and its API.
//
//	orders := entity.Of[Order](store)
//	written, err := orders.Create(ctx, Order{ID: id, Customer: "ada"}, tellPlaced)
//	written, err = orders.Update(ctx, id, func(o *Order) error { o.Status = "paid"; return nil })
//	order, err := orders.Get(ctx, id)
//
// The ownership record chooses the database for each operation; epochs, names, tombstones,
// holds and whatever else the contract of an owner asks (migrate/ownership/CONTRACT.md) are
// kept inside. Package backbone makes a store from configuration.
//
//   - Documents are BSON in both databases, so that no type is lost: a Decimal128 that a change
//     does not touch stays one, and so do fields that the domain's type does not have.
//   - The plan's versionField has the version of each document, 0 where it has none. Each write
//     adds one, and is made on the condition of the version that was read.
//   - Unique values of the plan hold in either database and across a change of owner.
//   - The events of a write are kept in the same atomic step, and published right after it. What
//     a process that died had not published is published by another one.
//   - What would not fit into an item of the target is refused while MongoDB owns, too: it would
//     be in the way of the migration.
//
// Caveats:
//
//   - A function that makes a change or events may run more than once, and must have no effect.
//   - A deleted document that is made anew may begin with version 1 again.
//   - [Store.Query] reads a secondary index: while DynamoDB owns, what it lists is some
//     milliseconds old, though each document that it returns was in the index as it is.
//   - A unique field can be absent, but not become null: for MongoDB that is a value.
//   - One write changes one document.
package entity
