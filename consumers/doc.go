// Package consumers is the runtime of the functions that are handed batches of
// events from Kinesis by Lambda.
//
// Caveats first:
//
//   - An event is delivered at least once: whatever a batch reports as failed
//     comes again together with everything after it on the shard, and all
//     events of one aggregate share one sequence number. A [Handler] must
//     therefore be idempotent; [Message.Position] is the guard that makes this
//     easy (see the packages below readmodel).
//   - Order holds for one partition key. Events of different keys run at the
//     same time, up to Config.Concurrency.
//   - With [Park], an event that keeps failing is put aside and later events of
//     its key go on without it. Whoever needs every event in its place uses
//     [Halt].
//   - A handler that ignores its context can outlive its batch, and on Lambda
//     it is frozen and thawed with the next one. Guard effects by position.
//
// # What a batch does
//
// [Consumer.HandleKinesis] unpacks aggregates, decodes events, runs the handler
// serially for each partition key and in parallel across keys, and answers with
// the lowest sequence number that is not done with. Done with means: handled,
// found to be stale, or kept as a dead letter. Nothing is ever dropped: when
// the dead letter store fails, the event counts as failed and comes again.
//
// The batch stops before the function's deadline and reports the first event
// that it did not handle. An event that was cut short by the end of the
// function's time is not the event's fault: it is reported, never parked. The
// same holds for an error that the handler marked as [Unavailable].
//
// # Middleware
//
// A [Middleware] is a plain function around a handler: [Correlation],
// [Logging], [Retry], [Deadline] and [Recover], one file each. New composes
// Config.Middleware (first is outermost) around Correlation, Retry, Deadline
// and Recover, which are always there. [EMF] writes the figures of each batch
// as CloudWatch metrics.
package consumers
