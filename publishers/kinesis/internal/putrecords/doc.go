// Package putrecords sends ready-made bytes to a Kinesis stream by PutRecords,
// through the client of the AWS SDK, at a fraction of the CPU that the client
// needs by itself.
//
// # Caveats
//
//   - What is replaced is the SDK's serializer and deserializer of this one
//     call, through the option Protocol that the client offers for it. Endpoint,
//     credentials, signature, HTTP client, retries, interceptors, logging and
//     the types of errors are the client's. But middleware and interceptors
//     inside the client see an input without records
//     and an output without answers.
//   - A client that is not the SDK's own (a wrapper, a test's) gets a plain input
//     with all records.
//   - A record's data, and the builder of an aggregate, must stay as they are
//     until Send has returned.
//
// # Two encodings
//
// [JSON] is what the service's API reference documents
// (https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html),
// field for field as the SDK writes it. It is the zero value.
//
// [CBOR] is what Amazon's SDK for Java has been sending to Kinesis by default
// since December 2016 (https://github.com/aws/aws-sdk-java-v2/issues/3498;
// switched off there by AWS_CBOR_DISABLE or aws.cborEnabled=false), byte for
// byte: the same structure with the content type application/x-amz-cbor-1.1, and
// bytes as bytes, which is a quarter less to hash and to send. The API reference
// does not name it. A server that refuses it is asked again in JSON, and in JSON
// from then on; see [Request.Send]. The service is known to answer it in JSON at
// times (https://github.com/aws/aws-sdk-java-v2/issues/1595), so an answer's
// first byte says what it is.
//
// # Where the bytes go
//
// A request's body is written once, into memory that requests share one after
// the other. The HTTP transport may still be reading a body after the call has
// returned: when the server answers early, or the call's time is up. So it only
// ever copies out of it, under a lock; and once Send returns nothing can be read
// any more.
//
// # What it costs
//
// CPU for an event of 1,000 bytes, in aggregates of 64 KiB, on an AMD EPYC where
// plain PutRecords of the SDK takes 4.2 us or more: SHA-256 0.56 us for each KB
// of the body, which is 1.33 in JSON and 1 in CBOR; about as much for the system
// calls that write it; MD5 0.24 (1.3 by crypto/md5, which was more than the rest);
// base64 0.06 (0.8 by encoding/base64); copying 0.05 in CBOR and 0.1 in JSON. A
// request as such costs 120 to 150 us, a third of that in the SDK's middleware and
// the rest in net/http and the system, with or without this package.
package putrecords
