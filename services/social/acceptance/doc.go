// Package acceptance has the acceptance cases of the example's APIs. Its tests run
// them against handlers in the process or against what is deployed (see
// services/acceptance), which they choose by the environment:
//
//	BANYAN_ACCEPTANCE_URL_USERS           the users API
//	BANYAN_ACCEPTANCE_URL_RELATIONSHIPS   the relationships API
//	BANYAN_ACCEPTANCE_URL_POSTS           the posts API
//	BANYAN_ACCEPTANCE_URL_MOBILE          the old mobile API, or the proxy before it
//	BANYAN_ACCEPTANCE_URL_TIMELINE        the timeline API; needs the mobile API too
//
//	BANYAN_ACCEPTANCE=http BANYAN_ACCEPTANCE_URL_MOBILE=https://api.stage.example go test -count=1 ./services/social/acceptance
//
// Users and the posts of the mobile API stay: those that a run makes have names
// and e-mails of their own (acceptance+<run>@example.invalid), a password that is
// not stored, and a text that says that they may be deleted. Follows and other posts are undone.
package acceptance
