// Package changestream publishes the changes of a MongoDB database as domain
// events, for legacy code that cannot be changed safely: it follows the change
// stream, and a mapping says which events are made of which changes.
//
// # Caveats first
//
//   - A change shows what a document became, not why. An event that says more
//     than the new state needs a mapping that can read the reason from
//     the fields; where it cannot, let the legacy code write an outbox.
//   - Events are published at least once. After a crash, what was published and
//     not recorded is published again, with the same id, sequence and data (but see
//     the next point), and in the same order.
//   - Without post-images the document of an update is looked up when the change
//     is read: it may be newer than the change, so that two events have the same data
//     and a repeated event has newer data under the old id; or it is deleted, and the
//     rule skips or refuses. Let Config.EnsureImages turn images on if the server
//     is MongoDB 6.0 or newer and has the disk space.
//   - An event with its images may be larger than the 16 MB that a server sends. Since
//     MongoDB 6.0.9 and 7.0 it comes in parts; before, that change comes without documents:
//     its document is looked up, and every field counts as changed.
//   - Without before-images a delete has nothing but the key; "changed" is taken
//     from the server's description of an update, and is always true of a
//     replacement; "was" and "of: before" have nothing to read.
//   - It must be the only writer of these events for the collection: run it
//     under one Name, and stop it before a service that took the entity over
//     publishes by itself.
//
// # Mapping file
//
//	version: 1
//	source: /legacy/users              # optional: /changes/<database>
//	collections:
//	  users:                           # a list of rules
//	    - on: insert                   # insert, update, replace, delete, snapshot; or a list
//	      event: user.joined           # type of the event
//	      version: 1                   # of its payload; 1 if left out
//	      subject: user/{_id}          # template; <collection>/{_id} if left out
//	      key: "{_id}"                 # partition key, template; {_id} if left out
//	      correlation: audit.request   # a field; or correlationId, causationId, traceParent, each a field
//	      data:
//	        userId: {field: _id, as: text}
//	        name: name                 # short for {field: name}
//	        joinedAt: {field: createdAt, as: time, default: "1970-01-01T00:00:00Z"}
//	    - on: [update, replace, snapshot]
//	      when:                        # all of them
//	        - changed: [name, bio]     # any of these fields; true of snapshots
//	        - exists: email            # all of these fields
//	        - missing: deletedAt       # none of these fields
//	        - equals: {status: active} # by value; null means absent
//	        - was: {status: pending}   # the same before the change: needs before-images
//	      missing: skip                # a field is absent or null: refuse (the default) or skip
//	      gone: skip                   # the updated document is gone: skip (the default) or refuse
//	      event: user.profile-updated
//	      data:
//	        bio: {field: profile.bio, missing: omit}  # refuse, skip, omit, null
//	        oldName: {field: name, of: before, missing: "null"}
//	        kind: {value: legacy}      # always the same
//
// Every rule that matches a change makes an event, in the order of the file.
// Fields are dotted paths, numbers go into arrays; a dot in the name of a field is
// written \. (size\.cm). Of a delete, a rule reads the
// document before it, or only the key. In a template, write {{ and }} for braces.
//
// Values are written as JSON: ObjectIds as hex, dates in RFC 3339, Decimal128 as
// text, UUIDs as such, other binaries in base64. Integers beyond ±2^53 and
// numbers that JSON lacks (NaN) are refused, unless "as" says how: text, number
// (all digits as they are), integer, bool, time (of dates, RFC 3339 texts and
// milliseconds since 1970). What does not fit a type that Config.Check knows is
// refused.
//
// Mistakes in the file are reported with line and column. The same can be had as a
// Go function, [Func].
//
// # Identity and order
//
// The id of an event is made from the collection, the _id, the operation, the
// cluster time, the index in the transaction, the type of the event, and its
// index among the change's events of that type. The sequence is the cluster time in
// nanoseconds as the clock of events counts, so that it compares as text, and a
// service that takes the entity over continues from it. Events of one document are in the
// order of its changes as long as their partition key is made from fields that
// never change; {_id} is.
//
// # Snapshot
//
// A collection that is older than the publisher, or whose changes were missed,
// is read whole: Config.Snapshot, by rules that are on: snapshot. Their events state
// what the documents are. The start of the stream is stored first. Then the collection is
// read in the order of _id, chunk by chunk, each as of one cluster time, which
// the server reports; and the chunk's events are published at exactly that position in
// the stream, behind all changes up to that time and before the later ones. So
// an event never has an older state of a document than an event before it,
// nothing has to be kept to compare with, the stream is followed all the while
// (its position cannot fall off the oplog during a long snapshot), and sequences agree with
// the order. The progress is stored with the position, in one document: killed
// at any point, it resumes.
//
// What a snapshot cannot show is a document that was deleted while changes were
// missed. Its events have the id of the snapshot as correlation id (unless the
// mapping takes another): a read model that must forget such documents is
// rebuilt, or drops what the snapshot did not mention.
//
// When the position fell off the oplog, Run ends with mongostream.ErrHistoryLost.
// With Config.Snapshot it forgets the position and begins a snapshot by itself.
// To read the collections again although the position is good, call
// [Publisher.Forget] (banyan-publish changes forget): the next Run starts as the first one did.
//
// # While migrate moves a collection
//
// migrate gives a collection that it moves names of its own, <name>__banyan_g<n>. The
// publisher follows it there without being told: the mapping, the events and their ids keep
// the name that it had.
//
// # Dead letters
//
// A change that a rule refuses, that makes a mapping function fail or panic, or
// whose event the stream refuses for good, is stored whole with the reason in
// the collection <Name>_refused, before anything after it is published, and
// counted; it does not block others. [Publisher.Redrive] (banyan-publish changes
// redrive) publishes them when the cause is corrected. Changes that no rule matches
// are counted as ignored, those that a rule skips as skipped.
package changestream
