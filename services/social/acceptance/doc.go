// Package acceptance has the cases that say whether an API does what its clients
// need, to be run in two ways: against a handler in the same process, or against
// whatever is deployed, over HTTP. They are the same cases, so that what passes on
// a laptop is what is asked of a stage.
//
// Caveats first:
//
//   - Users and posts cannot be deleted by these APIs. Those that a run makes have
//     names and e-mails of their own (acceptance+<run>@example.invalid), a password
//     that nobody keeps, and a text that says that they may be deleted. Follows are
//     taken back.
//   - A stage is shared: the cases look at nothing but what they made.
//   - Nothing sleeps. What becomes visible later is asked for again ([Eventually]),
//     and so are requests that a gateway or a change of owner refused for a moment.
//
// The tests of this package choose by the environment:
//
//	BANYAN_ACCEPTANCE_URL_USERS      the users API
//	BANYAN_ACCEPTANCE_URL_MOBILE     the old mobile API, or the proxy before it
//	BANYAN_ACCEPTANCE_URL_TIMELINE   the timeline API; needs the mobile API too
//
// An API whose variable is not set is run in the process. With BANYAN_ACCEPTANCE=http
// its cases are skipped by name instead, and it is a failure if none is set.
//
//	BANYAN_ACCEPTANCE=http BANYAN_ACCEPTANCE_URL_MOBILE=https://api.stage.example go test -count=1 ./services/social/acceptance
package acceptance
