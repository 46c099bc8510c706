// Package list sends one template to a file of recipients, millions of lines long.
//
// The file is CSV with a header, or JSON lines, plain or compressed by gzip. A recipient is
// a user, whose addresses and wishes are in the table, or an address:
//
//	user,who            {"user":"ada","members":{"who":"Bob"}}
//	ada,Bob
//
//	channel,token,who   {"channel":"fcm","token":"d9…","members":{"who":"Bob"}}
//	fcm,d9…,Bob
//
// The columns auth and p256dh (web push) and locale are known too; others are members.
// A record is a line: quoted line breaks are not supported.
//
// # Progress
//
// [Send] reads the file in batches, and keeps in a progress file up to which byte all
// batches are done, and which are beyond. That file is bound to the content of the list,
// by its hash, and to the template: an edited list is refused. Run again after any end, it
// goes on. What then happens with the batches that were under way is the template's
// decision: at-least-once sends them again, which are less than Concurrency + 2×Batch
// recipients; at-most-once leaves them out, and lists their bytes as uncertain. After
// SIGTERM there are none: what was begun is finished.
//
// A recipient who is in the file twice is sent one message.
//
// # Caveats
//
//   - For the duplicates a hash of each recipient is in memory, about 30 bytes: 300 MB for
//     10 million. Two recipients have the same hash with a probability of 3 in a million then.
//   - Rows with a token know nothing of quiet hours, limits and opt-outs; what the
//     provider says of their tokens is in the file of failures.
//   - The time until the first message is that of hashing the file.
package list
