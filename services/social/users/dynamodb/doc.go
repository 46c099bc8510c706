// Package dynamodb keeps users in two tables: the entity table (key id) and the
// table of unique values (key value, "email#<email>"; attribute owner, the id);
// and, if it is given an [Outbox], the events of each write in a third.
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
// # The outbox
//
// Each write that changes something puts its events into the outbox in the same
// transaction, so none can be lost, whenever the process dies; with the outbox, a
// change costs a transaction instead of a single write. The service publishes
// right after it, as without an outbox, and then has the entry deleted. What it
// did not get to is published some seconds later by the next sweep of the outbox,
// and then comes behind what was written since. That does no harm to readers that
// keep the greatest version of user.profile-updated and count user.joined as
// older than any, as the read models profile and timeline do.
//
// The table of the outbox is the service's alone. The migration knows nothing of
// it: it copies neither way.
//
// # What is reserved
//
// Both tables reserve the map attribute _banyan. The service writes e there, the
// epoch of its grant; from then on the migration leaves the item alone, and a
// service instance with an older grant is refused (ownership.ErrFenced). The
// migration's own fields (t, h) are kept. An item with d = true is a tombstone and
// reads as absent.
package dynamodb
