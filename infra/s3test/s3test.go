// Package s3test is S3 as tests want it: gofakes3 in the test's process, spoken to over the
// wire by the official client. It has versions and writes on a condition, and checks no
// signature and no permission. What is said of S3 by it alone is no more than said: have the
// same test run against another server too, whose address is in BANYAN_CONFORMANCE_S3.
package s3test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Start serves until the test ends. wrap, which may be nil, stands before the server.
func Start(t testing.TB, wrap func(http.Handler) http.Handler) *s3.Client {
	t.Helper()
	handler := gofakes3.New(s3mem.New()).Server()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return client(t, server.URL)
}

// Peer is a client of the other server. The test is skipped where none is named.
func Peer(t testing.TB) *s3.Client {
	t.Helper()
	url := os.Getenv("BANYAN_CONFORMANCE_S3")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_S3 is not set")
	}
	return client(t, url)
}

func client(t testing.TB, url string) *s3.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// Bucket makes a bucket that keeps versions, and returns its name.
func Bucket(t testing.TB, client *s3.Client) string {
	t.Helper()
	name := "bucket-" + uuid.NewString()
	_, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &name})
	if err == nil {
		_, err = client.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: aws.String(name), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}
