// Package measure finds out what publishing an event costs, against a
// counting.Server in another process.
//
// # Caveats
//
//   - CPU is what this process used, user and system, by getrusage. The process
//     must have a core of its own and GOMAXPROCS 1, or the figures mean little.
//   - Each figure is a ratio of two runs right after each other, and the median
//     of several such pairs: machines get slower and faster while one measures,
//     and what both runs share falls out.
//   - The clock of a run starts when everything is warm, and stops when the last
//     event is on the stream.
//
// Before anything is measured, each way of publishing sends some events to a
// stream that opens and counts them, so that nothing is fast by leaving out.
package measure
