// Package dynamodb keeps an entity's documents in DynamoDB: an item each, as the plan's codec
// makes it, with its unique values in entries of tables of their own, and the events of each
// write in the outbox's table. It is a backend of package entity, and keeps the contract of an
// owner (migrate/ownership/CONTRACT.md, "In DynamoDB").
//
// What a write changes besides the item is in its transaction. A change of an item that moves
// nothing, claims no other unique value and has no events is a single update.
//
// Caveats:
//
//   - The tables are made by the migration, but for the outbox: [Backend.EnsureOutbox].
//   - Documents are read with strong consistency, which costs twice an eventual one. A query of
//     an index that holds all fields reads what the index has, some milliseconds old.
//   - The outbox has a document's events under their partition key. Those of a write that is
//     repeated are looked for under the text of the _id.
//   - Behind a cursor of MongoDB's, documents of one sort key whose ids are documents, or of several
//     types, may come twice.
//   - A binary field as the second of an index is sorted by its bytes; MongoDB sorts the shorter first.
package dynamodb
