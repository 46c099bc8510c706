// Package preflight looks at everything that a migration will meet, before anything is
// written: the MongoDB server and what the user may do there, the collection with its
// options and indexes, every document, the tables, and whether another migration stands in
// the way.
//
// [Look] asks the servers and returns [Finding] values; it is cheap and can be repeated
// before each step. [Run] also reads every document and predicts size, time and cost. A
// finding stops the plan, must be acknowledged by its name in the plan's key
// "acknowledge", or is only told.
//
// Nothing is written, in either store. Each request has a deadline, and memory does not
// grow with the collection. A server that does not answer a question (a missing right, an
// older version) gives a finding "unanswered:<question>", not an error.
//
// What a preflight saw may change afterwards: open transactions, index builds and new
// documents. Whoever fences the collection looks again.
package preflight
