// Package ship brings logs from a Kinesis stream, to which CloudWatch Logs
// delivers them, into daily indexes of OpenSearch or Elasticsearch. Package logs
// has the environment, permissions and wiring of its function, log-shipper.
//
// Caveats first. A document is made of the line and what is known about it; the
// line itself is always kept whole, in "message". What of a structured line goes
// beyond the limits is missing from "fields" only, and "truncated" says so.
//
// # Once
//
// A document's id is made of the event's id, account, group and stream, and it is
// created, never replaced. Whatever comes twice, from CloudWatch Logs, Kinesis,
// Lambda or our own retries, answers "is there already", which is done.
//
// # Order
//
// One _bulk request is under way at a time, and the next one begins when every
// item of the last is done: created, doubled, or kept as a dead letter. Items
// that OpenSearch put off are sent again alone, so inside one request a later line
// may be there before an earlier one. log.offset, the place in the stream, sorts
// them: by @timestamp and log.offset a log stream reads as it was written.
//
// # What is refused
//
// OpenSearch may refuse a document for good, because of what is in it (400, or 413
// for it alone). It is then sent once more without the fields of the structured
// line ("stripped" has the reason), and a dead letter if that is refused too. All
// that is not the document's fault (429, 5xx, a full disk, missing rights, too
// many shards) is tried again until the function's time is nearly up; the batch
// then reports the first record that is not done, and Lambda brings it and all
// after it again.
//
// A dead letter is a message of SQS: JSON with the reason, the place in the stream
// and the event. An event too large for one is compressed, and cut only if that
// does not suffice.
package ship
