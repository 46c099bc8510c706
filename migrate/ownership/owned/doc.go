// Package owned is how a service in Go keeps its part of the contract in MongoDB: a
// [Handle] reads and writes the entity's collection as a grant names it, and is refused
// where that collection is not.
//
//	users := owned.New(db, "users")
//	err := member.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
//		return users.For(g).InsertOne(ctx, document)
//	})
//
// What it does for a service:
//
//   - Every command carries the collection's UUID where the server takes one (6.0 and
//     later; tried once for each client). So it takes effect on the very collection that
//     was granted, whoever renames, drops or re-creates names meanwhile, or has no effect
//     and is ownership.ErrFenced. The driver has no option for that, hence commands.
//   - A read that finds the collection moved follows it by its UUID.
//   - Where the server takes no UUID, "nothing found" is believed only if the name meant
//     the same collection before and after (two listCollections, in that case alone).
//   - A write is repeated with its transaction number after a broken connection or an
//     election, as the driver's retryable writes are: the server does it once.
//   - Every command says in its comment whose it is (4.4 and later), so that the migration
//     can tell the service from whoever else uses the collection.
//   - Writes wait for the majority, reads are the primary's, whatever the client's
//     settings are: what was acknowledged must survive a fail-over.
//
// Caveats:
//
//   - There is no findAndModify, since it takes no UUID. Read, and update on the condition
//     of what was read.
//   - There is no upsert: an update that matches nothing may be inserted by the caller.
//   - Servers before 6.0 take no UUID, and none is granted before the first move of the
//     collection is announced. There an insert can still reach a vacated name before a
//     view stands there, and makes a collection of its own; the migration finds it as a
//     stray.
//   - When the URI changed while a write was under way, it is repeated under another user,
//     whose transaction numbers the server does not connect with the first: an insert may
//     meet itself as a duplicate, an update its own effect. On a server that is not in a
//     replica set, which cannot be migrated, that is so of every repetition.
package owned
