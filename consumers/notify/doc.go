// Package notify sends notifications to users because of events: an [Engine] renders a
// template, asks what the user wants, and sends by the channels of package channel, once.
//
// A [Rule] says who is notified of an event; [Engine.Handler] makes a consumer's handler
// of it:
//
//	engine.Handler(func(m consumers.Message) []notify.Notification {
//		p, ok := m.Payload.(OrderShipped)
//		if !ok {
//			return nil
//		}
//		return []notify.Notification{{User: p.Customer, Template: "shipped", Members: map[string]string{"order": p.Order}}}
//	})
//
// # What becomes of a notification
//
//	suppressed   the user opted out, has no address for it, or had too many lately; or
//	             it is too late
//	deferred     quiet hours in the user's time zone, or the provider had trouble: it is in
//	             the table until [Engine.Sweep], which a schedule runs each minute, sends it
//	sent         at least one of the user's addresses accepted it
//	failed       none did, and no retry helps, or its time to live is over
//	uncertain    the template is at-most-once, and whether it was sent is not known
//
// [store.Store.Sent] lists them, newest first. An address that its provider calls gone is
// pruned, unless it was registered after that.
//
// # Once
//
// The identity is the event's id and time, the user and the template. Before anything is
// sent a conditional write claims it, together with the user's limit, and afterwards its
// outcome is stored, each address's by itself. Whatever is delivered twice finds that. In
// between lies what no table can decide: after a crash, or an answer that was lost, the
// message may have been sent or not. Each template says what then happens:
//
//	at-least-once   another delivery, or the sweep, sends it to the addresses that have no
//	                outcome, once the claim's lease is over. Devices show a message of one
//	                identity once where the protocol can (not by mail).
//	at-most-once    it is uncertain, and not sent again.
//
// An answer that surely says no (429, 503, a connection that could not be made) is retried
// in either case. A batch with a claim of a process that died waits for its lease.
//
// # Caveats
//
//   - A provider in trouble delays no shard for long: what it refuses is deferred, with
//     the pause it asked for, until the template's time to live.
//   - A deferred notification keeps the text that it was rendered with.
//   - One event notifies at most [MaxPerEvent] users: what goes to everybody is a list
//     (package list).
//   - No provider was met by the tests: they run against servers that speak the protocols.
package notify
