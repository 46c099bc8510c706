// Package subject says who a request is, from what the app behind the proxy issues
// already: a JWT of any usual algorithm, an opaque token or cookie that a look-up call
// resolves, or a header of a trusted front.
//
//	r, err := subject.Open(ctx, cfg, settings, log)
//	defer r.Close()
//	s, err := r.Resolve(request) // s.ID == "" for nobody
//
// Config is the part "subject" of a route file. Its sources are tried in order, and the
// first one that knows the request's token decides.
//
// # Caveats
//
//   - The proxy only chooses a side by the subject, and puts it where a template says
//     so. Whoever answers must verify the token itself.
//   - A request whose token cannot be verified has no subject: nothing fails, the legacy app
//     answers. So it does for reads whose look-up fails or is late, or whose key may be one of
//     those that cannot be read; writes are refused then (ErrUndecided), since either side may own what they write,
//     unless writesWhenDown says otherwise. Reasons counts all of them.
//   - A verified token is remembered, as its hash, until it expires or the keys change;
//     the answer of a look-up for its ttl. So a session that has ended counts for that
//     much longer.
//   - The header twice, or cookies of the name that differ, are no token: the server
//     behind may read the other one.
//   - A look-up must not go through the proxy itself.
package subject
