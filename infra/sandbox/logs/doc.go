// Package logs is a stand-in for Amazon CloudWatch Logs: an http.Handler that
// speaks the service's JSON protocol (AWS JSON 1.1, target Logs_20140328), as far
// as log groups, retention, subscription filters and writing go.
//
// Caveats first.
//   - Events are delivered to subscriptions and not kept: there is no reading, no
//     search and no metric filter. Retention is noted and has no effect.
//   - Destinations are Kinesis streams, filter patterns are the empty one, which
//     matches everything. Anything else is said to be not implemented.
//   - Roles are not looked up.
//   - What waits for delivery is bounded by Config.MaxWaiting calls; beyond it
//     PutLogEvents is throttled, which the service would not do for that reason.
//
// What holds, as in the real service: two filters a group; the destination is
// tried when a filter is put; a delivery has the documented form (one gzip
// archive of JSON a record, messageType DATA_MESSAGE or CONTROL_MESSAGE), the
// events of a log stream go in order and under one partition key, unless the
// distribution is Random; a delivery that failed is tried again, so that it may
// come twice.
//
// Sources: the API reference, and "Real-time processing of log data with
// subscriptions" in the user guide of CloudWatch Logs.
package logs
