package putrecords

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/infra/awserr"
)

const (
	target   = "Kinesis_20131202.PutRecords"
	jsonType = "application/x-amz-json-1.1"
	cborType = "application/x-amz-cbor-1.1"
	// maxAnswer bounds what is read of an answer. 500 results have less than
	// 100 KB, with error messages of usual length less than a megabyte.
	maxAnswer = 16 << 20
)

var awsJSON = smithy.ShapeID{Namespace: "aws.protocols", Name: "awsJson1_1"}

// usesJSON is false for a client whose user has set another protocol; that is
// kept then.
func usesJSON(c *awskinesis.Client) bool {
	p := c.Options().Protocol
	return p != nil && p.ID() == awsJSON
}

// call is the protocol of one call of the SDK's client.
type call struct {
	smithyhttp.ClientProtocol // the client's own, which knows the errors

	request  *Request
	encoding Encoding
	body     *body
	digest   string // of the body
}

func (c *call) option(o *awskinesis.Options) {
	c.ClientProtocol = o.Protocol
	o.Protocol = c
	o.APIOptions = append(o.APIOptions, c.addDigest)
}

// addDigest lets the signer know the digest, which it would find out by copying
// the body.
func (c *call) addDigest(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("PutRecordsDigest", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(v4.SetPayloadHash(ctx, c.digest), in)
	}), middleware.After)
}

// input is what the client's middleware sees: it asks for records that are not
// nil.
func (c *call) input() *awskinesis.PutRecordsInput {
	return &awskinesis.PutRecordsInput{StreamName: aws.String(c.request.stream), Records: []types.PutRecordsRequestEntry{}}
}

// SerializeRequest implements smithyhttp.ClientProtocol.
func (c *call) SerializeRequest(_ context.Context, _ *smithy.OperationSchema, _ smithy.Serializable, req *smithyhttp.Request) error {
	req.Method = http.MethodPost
	if req.URL.Path == "" {
		req.URL.Path = "/"
	}
	req.Header.Set("X-Amz-Target", target)
	req.Header.Set("Content-Type", jsonType)
	if c.encoding == CBOR {
		req.Header.Set("Content-Type", cborType)
	}
	streaming, err := req.SetStream(c.body)
	if err != nil {
		return fmt.Errorf("set stream: %w", err)
	}
	*req = *streaming
	return nil
}

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (c *call) DeserializeResponse(
	ctx context.Context, schema *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable,
) error {
	buffer := answerBuffers.Get().(*bytes.Buffer)
	defer answerBuffers.Put(buffer)
	buffer.Reset()
	if _, err := buffer.ReadFrom(io.LimitReader(resp.Body, maxAnswer+1)); err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if buffer.Len() > maxAnswer {
		return &smithy.DeserializationError{Err: fmt.Errorf("answer has more than %d bytes", maxAnswer)}
	}
	if resp.StatusCode < 200 || resp.StatusCode >= 300 {
		return c.deserializeError(ctx, schema, registry, resp, out, buffer.Bytes())
	}
	failed, err := c.request.readAnswers(buffer.Bytes())
	if err != nil {
		return &smithy.DeserializationError{Err: err}
	}
	if o, ok := out.(*awskinesis.PutRecordsOutput); ok {
		o.FailedRecordCount = aws.Int32(failed)
	}
	return nil
}

// deserializeError leaves it to the client's own protocol which type an error
// has, in the one encoding it reads.
func (c *call) deserializeError(
	ctx context.Context, schema *smithy.OperationSchema, registry *smithy.TypeRegistry, resp *smithyhttp.Response, out smithy.Deserializable, answer []byte,
) error {
	again := *resp.Response
	again.Body = io.NopCloser(bytes.NewReader(errorInJSON(answer)))
	return c.ClientProtocol.DeserializeResponse(ctx, schema, registry, &smithyhttp.Response{Response: &again}, out)
}

// refusesEncoding reports whether a server says that it cannot read what it was
// sent, so that it did not do anything either.
func refusesEncoding(err error) bool {
	switch status := awserr.Status(err); {
	case status == http.StatusUnsupportedMediaType:
		return true
	case status < 400 || status >= 500:
		return false
	case awserr.Is(err, "SerializationException", "UnknownOperationException", "UnsupportedMediaTypeException"):
		return true
	case awserr.Is(err, "UnknownError"), awserr.Code(err) == "": // the SDK found no code in the answer
		return status == http.StatusBadRequest || status == http.StatusNotFound
	}
	return false
}
