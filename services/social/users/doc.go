// Package users is the service that owns the entity "users": its domain and its HTTP API, on
// package entity, which keeps the users in whichever database owns them.
//
// Caveats first:
//
//   - An event is published at least once; one that comes twice has one id. A write that is
//     repeated by a client whose response was lost changes nothing, and publishes what it
//     says once more, with new ids, if its events are no longer waiting: nobody knows their
//     position.
//   - Events of one user are published in the order of the writes. An instance that was
//     stopped for seconds with an event on its way may repeat it late; the version in
//     user.profile-updated says which one is newer, and user.joined is older than any.
//   - A listing shows each user that existed throughout, but is not a snapshot.
//   - The id of a user who left must not be used again; nothing refuses it.
//
// During a switch of the owner writes wait; reads continue.
//
// # HTTP API
//
//	PUT    /v1/users/{id}           create; the client chooses the id, 24 hex digits
//	GET    /v1/users/{id}           ETag is the version; If-None-Match
//	GET    /v1/users?ids=a,b,c      up to 100; those that exist, in that order
//	GET    /v1/users?limit=&cursor= all, in pages
//	PATCH  /v1/users/{id}           name, bio; If-Match with the version
//	DELETE /v1/users/{id}           If-Match with the version
//	POST   /v1/users/authenticate   email and password
//
// Errors are application/problem+json (RFC 9457). The response to a write has the header
// Banyan-Written, the stream position of the last event it published.
package users
