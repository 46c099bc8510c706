// Package givenup reads what an event source mapping gave up and could not even make dead
// letters of: a function that cannot start, or that halts, for longer than the mapping
// retries. Lambda writes the positions of such a batch, not its records, to the mapping's
// on-failure queue. As long as the stream has the records they can be handled.
//
// # Caveats
//
//   - A message names a range of a shard. With a parallelization factor above 1, or filters, the
//     batch was some of the records in it, and Lambda does not say which: all of the range are
//     handled again, which handlers must bear anyway (see package consumers).
//   - They come after later ones of their keys, as all that is redriven does.
//   - Streams of DynamoDB are not read: the items of an outbox are in its table still.
//   - Messages stay in the queue for its retention, 14 days at most; records for the stream's.
package givenup
