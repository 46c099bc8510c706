// Package mongodb keeps the documents of an entity in its MongoDB collection, for package
// entity.
//
//	probe := owned.New(db, p.Source.Collection).Probe // for ownership.MemberConfig
//	backend := mongodb.New(db, p, member)
//	err := member.Read(ctx, func(ctx context.Context, g ownership.Grant) error { return backend.Prepare(ctx, g, false) })
//	outbox, err := direct.New(direct.Config{Boxes: []direct.Box{backend.Box()}, ...})
//
// The collection is used as package owned does, so that the migration may move it. A write
// changes the fields that differ, on the condition of the version and the fields that were read.
//
// Events wait in the array of the document that they are about (outbox.field of the plan). A delete
// that has events, or before which some wait, marks the document (<field>_deleted) in the update
// that adds its own: it is absent from then on, and goes with the last of the events. So a process
// that is killed in between leaves what any other publishes and removes, and nothing that holds
// up a fence, as an open transaction would. What is done in the array, to claim what waits and to
// remove what is published, is no write of the entity.
//
// Caveats:
//
//   - A field whose name begins with a dollar sign cannot be changed or removed: MongoDB has
//     no update for it that is a replacement, too.
//   - A write that changes a field with a dot in its name, or with none, replaces the document, on the
//     condition that also the events that wait in it are those that were read. A field that a stranger
//     has added since is lost.
//   - Who reads the collection past this package sees a deleted document until its events are published;
//     a validator must allow <field>_cleared and <field>_deleted.
//   - So long it keeps its unique values: a write that claims one of them waits, for a second or two,
//     and fails with entity.ErrConflict where nobody publishes meanwhile.
//   - A document in which entries of other forms wait, which a relay publishes, cannot be deleted before.
//   - Of two documents that have null as a unique value the index refuses one, DynamoDB none.
//   - Where a unique index compares bytes, and the plan's constraint lowered texts, the service
//     has to lower what it writes.
package mongodb
