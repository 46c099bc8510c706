// Package monolith is the sample legacy application that Banyan strangles: a JSON
// API under /api/v1 for users, follows, posts and timelines, on MongoDB.
//
// Caveats first:
//
//   - It writes twice: first to MongoDB, then to the stream, before it answers. A
//     crash between the two loses the event unless the client repeats the request.
//     Repeating a follow or unfollow publishes the event again, which does no harm. A post
//     has no id from the client, so a repeated one is a second post, and the event
//     of the first stays missing. An outbox is what removes this.
//   - Events of one user are published in the order of the writes by one process.
//   - The timeline is the slow query that such applications have: all follows of the
//     user, then the posts of all of them.
//   - Users are reached through the client of the users service alone, so the
//     collection can move. Only Import and Generate write to it, to load data before
//     a migration.
//
// Shapes are snake_case in an envelope {"status":"ok","data":{…}} or
// {"status":"error","error":{"code","message"}}; mobile clients depend on them to
// the byte. Every endpoint but registering and logging in needs a bearer token.
package monolith
