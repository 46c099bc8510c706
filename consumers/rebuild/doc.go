// Package rebuild builds a read model anew in a second table, beside the live one, holds the two
// against each other, and moves the readers to the new one and back. The live consumer never stops.
//
// It works for any read model whose consumer writes to a table named by a variable and guards its
// effects, as package once does. Readers follow the pointer of package livetable. The command is
// banyan-consume rebuild; each verb can be repeated, and goes on where it, or another machine,
// was interrupted:
//
//  1. Deploy the same code a second time, as timeline-b, with an empty table of its own by its
//     variable, and a mapping of the stream from TRIM_HORIZON that is disabled.
//  2. start replays the archive and then the stream to it, at most at a rate, and follows the stream
//     until it is stopped. The control table keeps how far it came.
//     banyan-consume rebuild start timeline --live timeline --table timeline-b --function timeline-b --archive s3://... --stream events
//  3. status says when it has caught up. Then enable the mapping of timeline-b: it delivers what the
//     stream still has, of which what was replayed changes nothing, and from then on all that comes.
//     Stop start when the mapping's IteratorAge is low.
//  4. compare counts the items of both tables and compares a sample of them.
//  5. switch compares again, moves the pointer and waits until all readers follow it. back moves it
//     to the former table.
//  6. remove, days later, gives up the way back and says which table and function nobody needs.
//
// # What is compared
//
// The tables are scanned, and the items whose keys have the smallest hashes, by a seed, are read
// from both: so each direction has the same sample, and an item that only one table has is found
// in either. An item that differs is read again for a while, since the two consumers are not
// equally far; it is the same once one table has what the other was seen to have. Where the sample
// has the whole of both tables that is all; of larger ones the counts may differ by a share, since
// both change while they are counted.
//
// Items that expire (those with the attribute expires) are left out, as are partitions and
// attributes that are named: what a model keeps of its own work, or what the order of events of
// different keys decides, is not the same in two tables. For the example's timelines that is
// --skip=timeline# and --ignore=fanned.
//
// # Caveats
//
//   - Without an archive the new table has only what the stream still holds.
//   - A second start takes over from the first, which stops at its next write.
//   - How far a rebuild came is one item of 400 KB, which has room for about 10,000 shards, closed ones among them.
//   - The live function must not be the one that is given, and a function without a variable that
//     names the new table is refused: it would write elsewhere.
//   - back does not compare: it is for a table that proved wrong. The former table is complete
//     because its consumer never stopped; do not stop it before remove.
//   - A read model deleted for a person, by events, is deleted in both tables. An erased person's
//     members stay unreadable in a replay.
package rebuild
