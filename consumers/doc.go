// Package consumers is the runtime of functions that Lambda invokes with batches of
// events from Kinesis.
//
// A consumer is a [Handler], which applies one event, and a [Config]. [New] makes a
// [Consumer], whose [Consumer.HandleKinesis] is what Lambda invokes; package function
// does that and the rest of a function's main. Package once makes the effects of a
// handler happen once.
//
// # What a batch does
//
// [Consumer.HandleKinesis] unpacks aggregates, decodes events and, with Config.Registry,
// their payloads, and runs the handler serially for each partition key and in parallel
// across keys. An event ends as
//
//	applied      the handler returned nil
//	stale        the handler returned [ErrStale]: the effects were there already
//	dead letter  it could not be decoded or handled, and is stored with its bytes and the
//	             reason ([KeepDeadLetter])
//	failed       it is delivered again: the policy is [Halt], the handler's error is
//	             [Unavailable], or the dead letter could not be stored
//	unhandled    it is delivered again: time ran out, or an event before it failed
//
// The answer to Lambda names the lowest sequence number that is to be delivered again.
// Nothing is dropped. No handler runs in the last part of the function's time
// (Config.Margin), and an event that is cut short by the end of that time does not
// become a dead letter.
//
// # Failures are bounded
//
// One event has its share of an invocation (Config.Share, half of it by default) for all
// its attempts. Whatever its handler does, it then is a dead letter, or the shard halts:
//
//	an error, or a panic           after Config.Attempts
//	an error, past the share       after Config.Attempts, counted over deliveries: at most one
//	                               delivery each, however many processes they go to
//	runtime.Goexit                 at once
//	it ignores its context         at once, when the share and a fifth of the time, at most
//	                               5 s, are over; it runs on, and 32 of them end the process
//	the process dies               after two deaths alone in hand, see Notes: 5 in all for a
//	                               batch of 100
//
// Meanwhile its neighbours are not handled again and again: what is finished behind an
// unfinished event is remembered by the process, up to 100,000 events for 15 minutes.
// Another process handles them once more.
//
// # Middleware
//
// A [Middleware] is a plain function around a handler, one file each: [Correlation],
// [Logging], [Retry], [Deadline] and [Recover]. New composes Config.Middleware, the
// first outermost, around Correlation, Retry, Deadline and Recover, which every consumer
// has. [EMF] writes the figures of each batch as CloudWatch metrics.
//
// # Caveats
//
//   - An event is delivered at least once: whatever a batch reports as failed is
//     delivered again together with everything after it on the shard, and all events of
//     one aggregate share one sequence number. A handler must therefore be idempotent.
//     [Message.Position] is the guard that makes this easy, see package once.
//   - Order holds for one partition key. Events of different keys run at the same time,
//     up to Config.Concurrency.
//   - With [KeepDeadLetter], later events of its key are handled without an event that
//     keeps failing. Use [Halt] where every event must be in its place.
//   - A handler that ignores its context outlives its batch: on Lambda it is frozen,
//     resumes with the next one, and may run beside a later event of its key. Guard
//     effects by position.
package consumers
