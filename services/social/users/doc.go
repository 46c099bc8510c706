// Package users is the service that owns the entity "users": its domain, its
// HTTP API, and the store interface that its adapters implement.
//
// Caveats first:
//
//   - A write is stored first and published second. Between the two the process
//     can die. The DynamoDB store keeps the event in the transaction of the write
//     (see [EventKeeper]) until it is published, so the next sweep of its outbox publishes
//     it some seconds later. The MongoDB store does not: the document is what the
//     migration copies, and has no field for it. There the event is missing until
//     the client repeats its write, which it does, because it got no response. Every
//     write is idempotent and a repeated one publishes again, so an event is published
//     at least once.
//   - Events of one user are published in the order of the writes by one instance.
//     Two instances that change the same user at the same moment may publish in
//     the other order, and a swept event comes behind those of later writes; the
//     version in user.profile-updated says which one is newer, and
//     user.joined is older than any of them.
//   - A listing shows each user that existed throughout, but is not a snapshot.
//
// Which store is used is decided for each request by the ownership grant under
// which it was admitted, so that a switch of the owner needs no restart and fails
// no request. During a switch writes wait; reads continue.
//
// # HTTP API
//
//	PUT   /v1/users/{id}           create; the client chooses the id, 24 hex digits
//	GET   /v1/users/{id}           ETag is the version; If-None-Match
//	GET   /v1/users?ids=a,b,c      up to 100; those that exist, in that order
//	GET   /v1/users?limit=&cursor= all, in pages
//	PATCH /v1/users/{id}           name, bio; If-Match with the version
//	POST  /v1/users/authenticate   email and password
//
// Errors are application/problem+json (RFC 9457). The response to a write has the header
// Banyan-Written, the stream position of the last event it published.
package users
