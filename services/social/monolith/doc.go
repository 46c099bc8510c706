// Package monolith is the sample legacy application that Banyan strangles: a JSON
// API under /api/v1 for users, follows, posts and timelines, on MongoDB.
//
// What it had in MongoDB, it reaches through the clients of the services that own it by now,
// which publish the events. Only Import and Generate write to the collections, and Snapshot
// reads them, before a migration.
//
// Caveats first:
//
//   - A post has no id from the mobile client, so a repeated request is a second post.
//   - The timeline is the slow query that such applications have: all follows of the
//     user, then the posts of all of them. While DynamoDB owns these, both are lists that are
//     some milliseconds old.
//
// Shapes are snake_case in an envelope {"status":"ok","data":{…}} or
// {"status":"error","error":{"code","message"}}; mobile clients depend on them to
// the byte. Every endpoint but registering and logging in needs a bearer token.
package monolith
