// Package subscribe subscribes log groups to the stream of logs, and sets a
// retention for those that would keep everything forever. Package logs has the
// environment, permissions and wiring of its function, log-subscriber.
//
// Caveats first. A group whose quota of filters is used up by others cannot be
// subscribed: it is reported and left alone. What that quota is, CloudWatch Logs says
// when the filter is put, so each back-fill tries again, and a dry run, which puts
// none, counts such a group as one that would be subscribed. Groups of the classes
// INFREQUENT_ACCESS and DELIVERY have no subscriptions.
//
// # No loops
//
// What log-shipper logs must not reach log-shipper. So before anything is
// subscribed, the functions that read the stream are looked up, and their log
// groups are left alone, as are those of Config.Shippers and those of search
// domains and delivery streams. When the look-up fails, nothing is subscribed.
// The shipper itself drops what comes from its own group, in case another
// tool subscribed that.
//
// # Retention
//
// It is set where there is none, and never changed. A group younger than
// RetentionGrace is left to the tool that made it, which usually sets a
// retention in the next call; the group is read again right before the change.
// CloudWatch Logs has no conditional write, so what another tool sets in the instant
// between that reading and the change would be overwritten.
//
// # Throttling and time
//
// Requests are paced to Rate. A throttled back-fill ends without an error and
// goes on at its place the next time; that place is kept in memory, and a new
// execution environment begins at a random one, so that no group is starved.
// Nothing else needs to be remembered: a group that is subscribed is seen to be.
// A throttled event returns an error instead, as Lambda waits a minute before
// its retry; the back-fill finds the group should that fail too.
package subscribe
