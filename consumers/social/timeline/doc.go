// Package timeline is the read model of what a user sees: their own posts and
// those of everyone they follow, newest first.
//
// Caveats first:
//
//   - A timeline keeps its newest entries, 800 by default ([Config.Cap]). After
//     an unfollow, posts that the cap cut off earlier do not return.
//   - The order is that of the post ids, whose text order is their time order.
//     Ids of two forms (UUIDv7, ObjectId) do not compare with each other.
//   - A post is written once for each follower. An author with very many makes
//     many writes: the fan-out pages through the followers, keeps its progress
//     in the post's item and resumes where it ended, but events of the
//     author's key wait meanwhile.
//   - A deletion, and the leaving of a user, is one write, however many have the posts in
//     their timelines: the reader looks at each post and its author, which it must for text
//     and name, and leaves out what is gone. The entries stay until the cap cuts them off;
//     they count for it, and a follow reads past the marks of deleted posts.
//   - Timelines of users who left get posts as long as their follows are not ended by
//     unfollow events; nobody sees them.
//   - Following oneself has no effect: one's own posts are there anyway.
//   - A dead letter counts as applied for the watermark as soon as a later event of its
//     key is.
//
// # Table
//
// One table, keys pk and sk (texts):
//
//	pk             sk         what
//	user#U         name       name of U: name, version, pos; or left, with the greatest version
//	user#U         watermark  pos: highest position applied for key U
//	user#U         floor      post: entries up to this one were cut off by the cap
//	posts#A        <post>     a post of A: text, at, pos; fanned: follower that the fan-out got to;
//	                          or deleted, pos
//	followers#A    U          the edge from U to A: following, pos
//	timeline#U     <post>     an entry: author
//
// pos is the [events.Position] of the event that the item was written for.
// Posts and names are kept once and joined when read, so a new name shows everywhere.
// Unfollowed edges, deleted posts and users who left stay, as the guard against stale
// deliveries.
//
// # Why the result is right
//
// Post P by A shows in the timeline of U if and only if P is published and not deleted,
// U follows A (or is A), and neither has left. This holds because of the following:
//
//   - Duplicates and stale deliveries. An edge changes only for a greater or
//     equal position, a name only for a greater version, a post only once, the
//     watermark only upwards. What is written after an edge is conditional on
//     that very edge (its pos), in the same transaction, so a handler that was
//     overtaken by a later one of its key does nothing more.
//   - Deletions. Ids are never used again, so a mark in the place of the post, or of the
//     name, is final: it refuses what comes later, a late post as well, and the reader
//     applies it at once, whatever a fan-out or a follow writes meanwhile.
//   - Interruptions. The same event delivered again finds its edge or
//     its post and resumes: every write after it is idempotent.
//   - Follow against publish, on two shards. The follower's side writes the
//     edge, then reads the posts; the author's side writes the post, then reads
//     the edges; both with strongly consistent reads. Whichever wrote last sees
//     the other, so the entry is written by one of them or by both.
//   - Unfollow against publish. The author's side writes an entry only together
//     with a check that the edge still follows. The follower's side writes the
//     edge, then removes the author's entries. An entry whose transaction came
//     before that write may become visible a moment after it (reads are not
//     serialised with transactions, only writes are): so the author's latest
//     posts are removed without reading, which DynamoDB serialises.
//
// The watermark of U is raised after U's own timeline shows the event: one's
// own post, the posts of a user one followed, the removal of those of a user one unfollowed.
// Timelines of other users may show it later.
package timeline
