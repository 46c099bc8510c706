// Package aggregate reads and writes the aggregated record of the Kinesis
// Producer Library: many small records inside one Kinesis record.
//
// # Caveats first
//
//   - The sub-records of an aggregate share its shard and its sequence number.
//     A program that builds one must only add records whose partition keys
//     hash to that shard; nothing in the format checks it.
//   - Data that looks like an aggregate and is not one (wrong digest, broken
//     protobuf) is one plain record, as in the official de-aggregators:
//     a plain payload may start with the magic bytes.
//   - Tags, which no official library writes, are skipped.
//
// # The format
//
// As published with the producer library
// (https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md):
// the magic bytes F3 89 9A C2, a protobuf message, and the MD5 digest of that
// message.
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
package aggregate

import "crypto/md5" //nolint:gosec // the format says MD5, as a checksum

const (
	magic      = "\xf3\x89\x9a\xc2"
	digestSize = md5.Size
	// Overhead is how many bytes an aggregate has besides its message.
	Overhead = len(magic) + digestSize
)

// MaxRecords is how many sub-records Decode accepts in one aggregate.
const MaxRecords = 1_000_000

// Numbers of the fields.
const (
	fieldPartitionKeys    = 1
	fieldExplicitHashKeys = 2
	fieldRecords          = 3

	fieldKeyIndex  = 1
	fieldHashIndex = 2
	fieldData      = 3
)

// Record is one record inside an aggregate, or a plain one.
type Record struct {
	// PartitionKey is empty for a plain record: it is on the Kinesis record.
	PartitionKey string
	// ExplicitHashKey is a decimal number of 128 bits, empty for none.
	ExplicitHashKey string
	// Data is the payload.
	Data []byte
}
