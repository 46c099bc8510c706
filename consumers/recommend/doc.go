// Package recommend keeps, for each user of a graph of connections, whom they may want to
// connect with: those whom most of their own connections are connected with. Users are
// whatever a company connects: people, accounts, articles.
//
//	model, err := recommend.New(recommend.Config{
//		Client: client,
//		Table:  "suggestions",
//		Edges: func(m consumers.Message) []recommend.Edge {
//			p, ok := m.Payload.(shop.Followed)
//			if !ok {
//				return nil
//			}
//			return []recommend.Edge{{From: p.Who, To: p.Whom, Present: true}}
//		},
//	})
//	// model.Handle is the consumer's handler, model.Sweep runs every minute, model.Get reads.
//
// A connection leads from one user to another. Where connections are mutual, Edges returns
// both directions.
//
// # How it is kept
//
// The handler does no more than state what is so: one transaction writes the edge, guarded
// by the event's position, and marks its user due. A duplicate or a late event changes
// nothing. [Model.Sweep] derives the list of each due user from the edges anew, so a list is
// what the edges give, whatever was delivered in which order, and nothing has to be
// reconciled: there are no counters that could drift. Who was connected since the last sweep
// is left out at once.
//
// # Everything is bounded
//
//	an event           4 items written, one of them only where the list had who is connected now
//	a due user         Breadth + 3 reads: up to Breadth of their connections (100), and of each
//	                   of these up to Depth (200) of theirs, a sample that is the same each time
//	others after it    up to Fanout (25) of those who are connected with a user whose
//	                   connections changed are due, too, other ones each time
//	a list             Keep (100) users; reading it is one GetItem
//
// So a follow of, or by, an account with a million followers costs what every follow does.
// The lists of the followers that the fan-out left out are as old as their own last change;
// [Model.Touch] makes one due, and whoever serves lists calls it for those older than a
// week, say.
//
// What all this costs in quality, on a generated graph of 100,000 users with 38 connections
// each on average, 4,306 at most, and up to 45,594 followers (make bench-recommend): with the
// default bounds 98 % of the first 10 are among the 10 that brute force finds, ties counted
// as equal, and 98 % of those that it finds are there; with half of the bounds 95 and 93 %, with
// twice 99 and 99 %. When 5 % of the connections are new, every list was derived since then with
// the default fan-out, and 98 % of the best are found; without any fan-out three in four
// lists were, and it is 97 %.
//
// # Table
//
//	pk          sk               what
//	out#U       <hash><user>     a connection of U, or that there is none any more; pos
//	in#U        <hash><user>     who is connected with U
//	out#U,in#U  !left            U left: nothing of U counts any more, before or after
//	list#U      list             s#V: what is shared with V, for each V of the list; at: when it was derived; rev
//	due#00..15  U                n: how often U was marked; own: for changes of their own; told: of which followers know
//
// The hash, of both ids, makes the first items of a partition a sample.
//
// # Caveats
//
//   - All events of one edge must have the same partition key: an edge is guarded by position.
//   - Lists of others have somebody who left until they are derived again: leave out whom
//     you do not know when you add names.
//   - Whoever disconnected stays an item, so that a late event does no harm; so do the ids of
//     those whom somebody who left was connected with.
//   - A partition takes 1,000 writes a second: more follows of one account are throttled, and
//     their shards wait.
package recommend
