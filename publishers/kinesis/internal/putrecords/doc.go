// Package putrecords sends ready-made bytes to a Kinesis stream by PutRecords,
// through the client of the AWS SDK, at a fraction of the CPU that the client
// needs by itself.
//
// # Caveats first
//
//   - What is replaced is the SDK's serializer and deserializer of this one
//     call, through the option Protocol that the client offers for it. Endpoint,
//     credentials, signature, HTTP client, retries, interceptors, logging and
//     the types of errors are the client's. But whoever looks at the call inside
//     the client (a middleware, an interceptor) sees an input without records
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
// field for field as the SDK writes it. [CBOR] is what Amazon's SDK for Java has
// been sending to Kinesis by default since 2016 (switched off there by
// AWS_CBOR_DISABLE, or aws.cborEnabled=false), with the content type
// application/x-amz-cbor-1.1: the same structure, and bytes as bytes, which is a
// quarter less to hash and to send. A server that refuses it is asked again in
// JSON, and in JSON from then on; see [Request.Send]. The service is known to
// answer it in JSON at times (https://github.com/aws/aws-sdk-java-v2/issues/1595),
// so an answer's first byte tells what it is.
//
// # Where the bytes go
//
// A request's body is written once, into memory that requests share one after
// the other. The HTTP transport may go on reading a body after the call has
// returned: when the server answers early, or the call's time is up. So it only
// ever copies out of it, under a lock; and once Send returns nothing can be read
// any more.
package putrecords
