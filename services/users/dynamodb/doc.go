// Package dynamodb keeps users in two tables: the entity table (key id) and the
// table of unique values (key value, "email#<email>"; attribute owner, the id).
//
// Caveats first:
//
//   - The tables are made by the migration. The store sends nothing before its
//     first use, so a service can be given one while MongoDB is still the owner.
//   - The table is keyed by id alone, so a listing comes in no order. A listing
//     that began in MongoDB goes on here with the ids behind the last one seen.
//   - Every read is strongly consistent and costs twice an eventually consistent
//     one: clients must read what they have written.
//
// Both tables reserve the map attribute _banyan. The service writes e there, the
// epoch of its grant; from then on the migration leaves the item alone, and a
// service instance with an older grant is refused (ownership.ErrFenced). The
// migration's own fields (t, h) are kept. An item with d = true is a tombstone and
// reads as absent.
package dynamodb
