// Package profile is the read model of users as others see them: name, bio, when
// they joined, and how many followers, followees and posts they have.
//
// Caveats first:
//
//   - The counters count the events from the beginning of the stream; a model that
//     starts in the middle lacks what was before.
//   - Following oneself does not count, on either side.
//   - Whoever left shows nothing and is nobody's follower any more: leaving ends the follows
//     of the user, as many as there are. Who followed that user still has one followee more,
//     until an unfollow event ends it: no key leads to them.
//   - A dead letter counts as applied for the watermark as soon as a later event of its
//     key is.
//
// # Table
//
// One table, keys pk and sk (texts):
//
//	pk      sk         what
//	user#U  profile    name, bio, version, pos; joined; followers, following, posts;
//	                   left, with the greatest version; rev, which grows with each change
//	user#U  left       U has left: pos
//	user#U  watermark  pos: highest position applied for key U
//	user#U  edge#A     whether U follows A: following, pos
//	user#U  post#P     U published P: pos; or deleted
//
// pos is the [events.Position] of the event that the item was written for; in
// the profile item, of the one that set the name.
//
// # Why the result is right
//
// A counter is only ever changed in one transaction with the item that is the
// reason for it, its guard:
//
//   - A post's item is put if it is absent, and posts goes up with it. Delivered
//     again, the item is there, and nothing changes. A deletion puts its mark there, and
//     posts goes down if the post was counted; a late post finds the mark.
//   - An edge is flipped from not following to following, or back, if its pos is
//     lower than the event's; followers of the one and following of the other
//     change with it. An event that finds the edge flipped already (a follow
//     that was published twice) only raises its pos. One that finds a greater
//     pos is stale and changes nothing. So even if events are delivered twice, late or
//     interrupted, counters equal the number of edges and posts.
//   - Ids are never used again: a follow is checked, in its transaction, against the mark of
//     a follower who left; what was followed before is ended behind the mark.
//   - Name and bio are those of the greatest version, then the greatest
//     position, in whatever order they come; a profile-updated may come before
//     its user.joined.
//   - Two shards that change the counters of one user at the same time conflict in
//     their transactions, and retry.
//
// Additions to the same counter that are waiting at the same moment are added
// up into one write, so an account that many users follow at once is not a bottleneck.
package profile
