// Package awsjson is the front of a service that speaks AWS JSON 1.0 or 1.1:
// one POST per call, the operation in the header X-Amz-Target, typed errors.
//
// Caveats first. Signatures are not checked: anybody who can connect is let
// in, so a sandbox listens on loopback. Requests in CBOR, which Amazon's SDK for
// Java sends to Kinesis, are answered where a service says so, and refused with
// a clear error elsewhere. Unknown members of a request are ignored, as AWS
// does; an unknown operation is an error of type UnknownOperationException that
// says the sandbox does not implement it.
//
// The protocol is described at https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html.
// Its form in CBOR is not; it is what the SDK for Java reads and writes (1.x:
// com.amazonaws.protocol.json.SdkCborGenerator, 2.x: aws-cbor-protocol).
package awsjson
