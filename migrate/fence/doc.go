// Package fence makes MongoDB itself refuse the writes of everyone who is not to write to
// an entity's collection: it gives the collection a name that they do not know.
//
// # Caveats first
//
//   - It holds for replica sets of MongoDB 4.2 and later. Sharded clusters are refused until
//     proven. That a view refuses writes, and a rename a view, is MongoDB's manual; no mongod
//     was available to try it on, and the servers that were do otherwise.
//   - Between a rename and the view in its place the vacated name is free for as long as two
//     commands take. What somebody creates there then is acknowledged by MongoDB. Where the
//     server accepts collectionUUID (6.0 and later), members cannot be that somebody. What
//     others create is kept, as a stray, and shown.
//   - Readers by a former name find nothing for as long.
//   - While the collection moves, writes wait until a process has finished: if the one that
//     began has died, `banyan-migrate run` finishes, or any verb that is called again.
//
// # Names
//
// The first fence ([Fence.Encapsulate]) renames the collection from its public name to
// its first physical name, which only the members of package ownership are told, and puts
// a read-only view under the public name. Each later fence, and each undoing of one, moves
// it to a further physical name, and a view occupies the name that it left. The generation
// in the name is raised in the ownership record before the first command that uses it. No
// name that was left is entered again, so a late rename finds a view or nothing, and a late
// creation of a view finds its name taken, or makes a view that leads on to the collection
// by way of others. Views stand on views up to a depth of 20; a view from which the way is
// longer than 12 is pointed to the collection (collMod), which does no harm late either.
//
// Two things make a command conditional on what it meets: the UUID of the collection, with
// collectionUUID where the server takes it, and else the name itself.
//
// # Giving the public name back
//
// [Fence.Abandon], and an encapsulation that fails, enter the public name again: they drop
// the view there, and rename the collection to it. That drop, arriving late, would drop the
// collection, and a late rename of the encapsulation would move it away. So all commands
// here are sent over connections with an application name of their own, opened before the
// sender checks that it is its turn, and never opened again: see [Session]. Before each
// command that gives the name back, $currentOp with idleConnections shows on every server
// of the replica set that no other such connection is open. This needs the privilege
// inprog. Late commands are waited for while writes go on: writes wait for one turn at most,
// then the collection moves on to a further name, and the giving back begins again.
//
// # What survives a rename
//
// Indexes, validators and options go along. TTL indexes would go on deleting behind a
// cut-over's fence, where nobody applies it: they are suspended there (collMod), and what
// they said is kept in the claim until an undoing or an abandonment restores them. That
// collMod ends the verification, so a cut-over of such a collection that was undone needs
// a new one.
//
// # What was decided against
//
//   - setUserWriteBlockMode (6.0 and later) would close the gap between rename and view. It
//     blocks the whole cluster, and arriving late it would block it for good.
//   - dropTarget: a rename onto a name destroys what stands there.
//   - Deleting the view's definition from system.views would be a drop that cannot hit a
//     collection; the manual forbids writing there.
//
// # Fail-over, locks, rights
//
// All commands have write concern majority. What was seen on a primary counts only behind a
// later write of the same primary that a majority has: the cut-over writes a barrier after
// the fence, and looks again behind it. A rename waits for open transactions on the
// collection, and everything else behind it; so it carries a time limit, and one whose
// time ran out counts as possibly carried out. Roles name collections: grant the members'
// role on the physical names ahead, which are predictable (package names); each member
// tries the next one before anything moves.
package fence
