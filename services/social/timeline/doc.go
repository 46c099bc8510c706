// Package timeline is the HTTP API over the timeline read model.
//
//	GET /v1/timelines/{userId}?limit=20&cursor=
//	GET /healthz   the process runs
//	GET /readyz    it can read its table
//
// A timeline is newest first: {"items":[{"postId","authorId","authorName",
// "text","publishedAt"}],"nextCursor":""}. limit is 1 to 100, 20 if not given;
// an empty nextCursor is the end. A deleted post shows no more, neither do the posts of
// a user who left; that user's own timeline is empty. Errors are application/problem+json
// (RFC 9457) and say in type, relative to the service, what they are.
//
// Caveats: the model follows the writes a little later. A client that wrote and
// wants to read that, sends the Banyan-Written of the write's response as
// Banyan-Read-After. The response is then 412 with /problems/read-model-behind as
// long as the model has not applied it for that user, and says what it has
// applied in Banyan-Applied. Only a user's own events count there.
//
// Requests need a bearer JWT: HS256 and nothing else, with exp, and the user in
// the path as its subject.
package timeline
