// Package dynamodb is a DynamoDB and DynamoDB Streams that runs inside a process and speaks the
// real wire protocol, so that the real clients run against it.
//
// What it is not: it keeps everything in memory and forgets it at the end; secondary indexes follow
// at once where the real ones follow soon; a table is ready as soon as it is made; capacity is counted
// but never enforced (Config.Fault throttles); a stream has one shard unless it is split by Server.SplitShards; of a signature only the age is looked at;
// local indexes, the legacy parameters from before expressions, PartiQL, backups and global tables are refused with
// "not implemented by the sandbox".
//
// What it takes care to be: the data model with its 38-digit decimals, the expressions, conditions,
// transactions, limits, sizes, pages, errors and their messages. The suite in its tests is run
// against this package and against Amazon's DynamoDB Local, and both must pass.
//
// A table and each of its indexes is a B-tree of immutable entries, ordered by the hash of the
// partition key and then the sort key. Writers of a table exclude each other and its readers for the
// length of one request; transactions lock their tables in the order of their names.
package dynamodb
