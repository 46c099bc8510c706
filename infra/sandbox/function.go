package sandbox

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// Function is a Lambda function to run.
type Function struct {
	Name string
	// File is a program of this machine that speaks Lambda's Runtime API, or an
	// archive (.zip) with one named bootstrap.
	File string
	// Variables are added to those of the sandbox.
	Variables map[string]string
}

// functionTimeout leaves time to look at what a function does.
const functionTimeout = 60 // seconds

// CreateFunction creates a function in the embedded Lambda. It refuses to touch a
// Lambda that is the user's.
func (s *Sandbox) CreateFunction(ctx context.Context, f Function) error {
	if !s.embeds(Lambda) {
		return fmt.Errorf("create the function %s: AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_LAMBDA names another server; unset it, or deploy the function there", f.Name)
	}
	archive, err := Archive(f.File)
	if err != nil {
		return fmt.Errorf("create the function %s: %w", f.Name, err)
	}
	client := s.lambdaClient()
	_, err = client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &f.Name, Role: aws.String("arn:aws:iam::" + account + ":role/" + f.Name), Code: &types.FunctionCode{ZipFile: archive},
		Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"), Timeout: aws.Int32(functionTimeout),
		Environment: &types.Environment{Variables: f.Variables},
	})
	if err != nil {
		return fmt.Errorf("create the function %s: %w", f.Name, err)
	}
	soon := func(o *lambda.FunctionActiveV2WaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, time.Second
	}
	if err := lambda.NewFunctionActiveV2Waiter(client, soon).Wait(ctx, &lambda.GetFunctionInput{FunctionName: &f.Name}, time.Minute); err != nil {
		return fmt.Errorf("wait for the function %s: %w", f.Name, err)
	}
	return nil
}

// Archive reads a program and packs it as Lambda wants it: named bootstrap, mode
// 755. Archives (.zip) are taken as they are.
func Archive(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil || strings.HasSuffix(file, ".zip") {
		return content, err
	}
	if bytes.HasPrefix(content, []byte("PK\x03\x04")) {
		return nil, fmt.Errorf("%s is an archive: name it .zip", file)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	h.SetMode(0o755)
	entry, err := z.CreateHeader(h)
	if err == nil {
		_, err = entry.Write(content)
	}
	if err == nil {
		err = z.Close()
	}
	return out.Bytes(), err
}

// Map lets a function read a stream of the environment, as a consumer does: from
// its beginning, in batches, of which it may report parts as failed.
func (s *Sandbox) Map(ctx context.Context, function, stream string) error {
	described, err := s.kinesisClient().DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
	if err == nil {
		_, err = s.lambdaClient().CreateEventSourceMapping(ctx, &lambda.CreateEventSourceMappingInput{
			FunctionName: &function, EventSourceArn: described.StreamDescriptionSummary.StreamARN,
			StartingPosition:      types.EventSourcePositionTrimHorizon,
			FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
		})
	}
	if err != nil {
		return fmt.Errorf("let the function %s read the stream %s: %w", function, stream, err)
	}
	return nil
}

// ErrFunction is returned where a function was invoked and answered with an error.
var ErrFunction = errors.New("the function failed")

// Invoke calls a function with an event and returns its answer, also where there
// is [ErrFunction].
func (s *Sandbox) Invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	once := func(o *lambda.Options) { o.Retryer = aws.NopRetryer{} }
	out, err := s.lambdaClient().Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: event}, once)
	switch {
	case err != nil:
		return nil, fmt.Errorf("invoke the function %s: %w", function, err)
	case out.FunctionError != nil:
		return out.Payload, fmt.Errorf("invoke the function %s: %w (%s)", function, ErrFunction, *out.FunctionError)
	}
	return out.Payload, nil
}

func (s *Sandbox) lambdaClient() *lambda.Client { return lambda.NewFromConfig(s.sdk(Lambda)) }
