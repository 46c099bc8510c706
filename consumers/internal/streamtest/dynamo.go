package streamtest

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// DynamoDB is where a test keeps its tables: what AWS_ENDPOINT_URL_DYNAMODB
// names, else a sandbox of its own.
type DynamoDB struct {
	t        testing.TB
	Endpoint string
}

// NewDynamoDB makes one for the length of the test.
func NewDynamoDB(t testing.TB) DynamoDB {
	t.Helper()
	if endpoint := os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"); endpoint != "" {
		return DynamoDB{t, endpoint}
	}
	return DynamoDB{t, startSandbox(t)}
}

// Client connects through faults, which may be nil.
func (d DynamoDB) Client(faults *Faults) *dynamodb.Client {
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.MaxIdleConnsPerHost = 64
	d.t.Cleanup(own.CloseIdleConnections)
	if faults == nil {
		faults = NewFaults(0, 0)
	}
	faults.Next = own
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(d.Endpoint),
		HTTPClient:   &http.Client{Transport: faults},
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { // faults are many, and nobody else is in need
			o.MaxBackoff, o.RateLimiter = 2*time.Millisecond, ratelimit.None
		}),
	})
}

var (
	tables atomic.Int64
	unfit  = regexp.MustCompile(`[^a-zA-Z0-9_.-]`)
)

// CreateTable creates a table of the test's own.
func (d DynamoDB) CreateTable(input func(name string) *dynamodb.CreateTableInput) string {
	d.t.Helper()
	name := fmt.Sprintf("t%d-%d-%s", os.Getpid(), tables.Add(1), unfit.ReplaceAllString(d.t.Name(), "-"))
	in := input(name[:min(len(name), 200)])
	if _, err := d.Client(nil).CreateTable(d.t.Context(), in); err != nil {
		d.t.Fatal(err)
	}
	return aws.ToString(in.TableName)
}
