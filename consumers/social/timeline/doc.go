// Package timeline is the read model of what a user sees: their own posts and
// those of everyone they follow, newest first.
//
// A post is written to the timeline of each follower. An author with more followers than
// a threshold, 10,000 by default, is a celebrity, whose posts are written once and mixed
// in when timelines are read.
//
// Caveats first:
//
//   - A timeline keeps its newest entries, 800 by default ([Config.Cap]). After
//     an unfollow, posts that the cap cut off earlier do not return.
//   - The order is that of the post ids, whose text order is their time order.
//     Ids of two forms (UUIDv7, ObjectId) do not compare with each other.
//   - A deletion, and the leaving of a user, is one transaction, however many have the
//     posts in their timelines: the reader looks at each author, which it must for the
//     name, and leaves out what is gone. The entries stay until the cap cuts them off; they
//     count for it, and a follow reads past the marks of deleted posts.
//   - Who follows more than [MaxCelebrities] celebrities sees the posts of those whose ids
//     come first, and of the others at most those from before they were celebrities.
//   - An author stays a celebrity, also with fewer followers later: a way back would have to
//     write the posts to every follower and to take back the marks, while posts are
//     published, and saves one read unit for a page.
//   - Every page of a follower reads the posts of a celebrity, half a unit of the 3,000 that
//     DynamoDB gives a partition: 6,000 pages a second that mix in the same one.
//   - Timelines of users who left get posts as long as their follows are not ended by
//     unfollow events; nobody sees them.
//   - Following oneself has no effect: one's own posts are there anyway.
//   - A dead letter counts as applied for the watermark as soon as a later event of its
//     key is.
//
// # Fan-out
//
// The handler of a post writes the post, then the entries of one page of 500 followers.
// What is left goes to a queue ([Config.Enqueue]), whose messages name author and post;
// each does one page ([Model.Continue]) and enqueues the next. So the shard goes on, and
// authors do not wait for each other. Without a queue the handler does all pages, resumes
// where it was interrupted, and the later events of the author's key wait.
//
// The followers are counted as the fan-out reads them: no counter that many follows would
// write at once. When the count exceeds the threshold, the author is made a celebrity,
// nothing more is fanned out, and every follower gets a mark instead, in the same way,
// once in the author's life.
//
// What DynamoDB bills for a post: 4 write units an entry (the item and the check of the
// edge, in a transaction), 40,000 at the threshold; 6 for a celebrity's, whose followers
// cost 4 units each once.
//
// # What a page costs
//
// Read units for 20 posts, with ids as long as UUIDs; a test holds them:
//
//	one author                                               3.5
//	eight authors, texts of 140 bytes                        7
//	an author for each post                                  13.5
//	the same, texts of 512 bytes, the longest in an entry    15.5
//	the same, texts of 2,000 bytes, which are looked up      33.5
//	one author who deleted more than the card lists          24.5
//	50 celebrities followed, texts of 140 bytes              38.5
//
// That is one query for the entries, one for what concerns the user, half a unit for the
// card of each author, and for each celebrity half a unit that has the first six posts. A
// query is read on where it was not enough, at most four times and twice as far each time;
// a page that has not found its posts by then is short, and its cursor goes on from there.
//
// # Table
//
// One table, keys pk and sk (texts):
//
//	pk             sk         what
//	user#U         name       the card of U: name, version, pos; or left, with the greatest version;
//	                          deleted#<post> for each deleted post, up to 2,000 bytes of ids, then many
//	user#U         watermark  pos: highest position applied for key U
//	user#U         floor      post: entries up to this one were cut off by the cap
//	user#U         celebrity  U is one; marked: follower that the marks got to; or done
//	user#U         ~A         the mark: U follows the celebrity A
//	posts#A        <post>     a post of A: text, at, pos; fanned and count: follower that the fan-out got
//	                          to, and followers so far; or deleted, pos
//	followers#A    U          the edge from U to A: following, pos
//	timeline#U     <post>     an entry: author; text and at, unless the text is longer than 512 bytes
//
// pos is the [events.Position] of the event that the item was written for.
// Names are kept once and joined when read, so a new name shows everywhere. Texts never
// change, so entries have copies of them.
// Unfollowed edges, deleted posts and users who left stay, as the guard against stale
// deliveries.
//
// # Why the result is right
//
// Post P by A shows in the timeline of U if and only if P is published and not deleted,
// U follows A (or is A), and neither has left. The reader shows P if there is an entry of P
// for U, or a mark of A for U and P itself. It shows when everything delivered is handled,
// events as well as messages of the queue. This holds because of the following:
//
//   - Duplicates and stale deliveries. An edge changes only for a greater or
//     equal position, a name only for a greater version, a post only once, the
//     watermark only upwards. What is written after an edge is conditional on
//     that very edge (its pos), in the same transaction, so a handler that was
//     overtaken by a later one of its key does nothing more.
//   - Deletions. Ids are never used again, so what marks the post as deleted is final: in
//     its place it refuses what comes later, a late post as well, and in the author's card,
//     written in the same transaction, it hides every entry, whatever a fan-out or a
//     follow writes meanwhile. The card of an author with too many says so, and each of
//     the author's posts is looked up.
//   - Interruptions. The same event delivered again finds its edge or
//     its post and resumes: every write after it is idempotent.
//   - The queue. A message says what to carry on, not from where: its handler reads in the
//     table how far that got, stores the progress only after the page is written, and is
//     done only after the next message is in the queue. So of all messages and events that
//     speak of a fan-out, one at least is left until the last page is written; the others
//     repeat what has no effect. A message that comes after the deletion, or late by
//     days, finds nothing to do or repeats the last page.
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
//   - Becoming a celebrity. It happens once and is never undone. From then on every edge has
//     its mark or will: the follower's side writes the edge, then reads whether A is a
//     celebrity, and if so writes the mark; the author's side writes that A is one, then
//     reads the edges and marks them. Whichever wrote last sees the other. A fan-out that
//     finds a celebrity, whenever it looks, may stop, since the marks show its post, too;
//     one that does not look, or wrote entries before, wrote what the marks show as well,
//     and a post that has both shows once. Should the marks be incomplete, because their
//     message is in a dead letter queue, the next post of A resumes them.
//   - Unfollow of a celebrity. A mark is written together with a check of the edge, as an
//     entry is, and is removed without reading, as the latest posts are; entries from
//     before are removed as ever.
//   - Reading. What the user did is read strongly consistent: the entries, the marks, the
//     own card, the own posts. What others did may be read a moment late, which is as if
//     they had done it later. The sources of a page are merged down to the oldest post
//     that each has read, so none is left out for one that is newer and not read yet.
//
// The watermark of U is raised after U's own timeline shows the event: one's
// own post, the posts of a user one followed, the removal of those of a user one unfollowed.
// Timelines of other users may show it later.
package timeline
