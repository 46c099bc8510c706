// Package target is the DynamoDB side of a migration: the entity's table and the
// tables of its unique constraints. It encodes documents, writes them on the
// condition that nothing newer stands in their place, and compares them with what
// the tables hold.
//
// [Tables.Ensure] makes the tables, [Tables.Batches] copies chunks, [Tables.Apply]
// writes single documents; each may come in any order, late, and more than once. The
// end is [Tables.RemoveTombstones].
//
// Caveats:
//   - An item carries the epoch and the time of its content in MongoDB (package stamp). All
//     changes of a transaction have one time: where an item of the same time has another content,
//     Apply fails with [ErrSameTime], and the caller asks the source.
//   - A unique entry has the attributes value, owner, and, while several items hold the
//     value because changes are still to be applied, the map others. Readers that want
//     one document take the owner.
//   - Where the key is made of other fields than the _id, a document moves from item to item: a
//     constraint on _id has an entry that names its item, see [Tables.Keys].
//   - A write is sent as late as its signature allows, see [SignatureLifetime].
package target
