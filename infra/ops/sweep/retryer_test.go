package sweep_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
)

// TestFaultsAreRetriedThrottlesAreNot, by what reaches a server.
func TestFaultsAreRetriedThrottlesAreNot(t *testing.T) {
	for _, test := range []struct {
		status          int
		code            string
		throttled       bool
		attempts, after int // how many come, where the first after of them fail
	}{
		{429, "TooManyRequestsException", true, 1, 9},
		{400, "ThrottlingException", true, 1, 9},
		{500, "ServiceException", false, 3, 9},
		{503, "ServiceUnavailable", false, 2, 1},
		{403, "AccessDeniedException", false, 1, 9},
	} {
		attempts := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if attempts++; attempts <= test.after {
				w.Header().Set("X-Amzn-Errortype", test.code)
				w.WriteHeader(test.status)
			}
			_, _ = io.WriteString(w, `{}`)
		}))
		transport := &http.Transport{}
		client := lambda.New(lambda.Options{
			Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			Retryer:     retry.AddWithMaxBackoffDelay(sweep.Retryer(), time.Millisecond),
		})
		_, err := client.ListFunctions(t.Context(), &lambda.ListFunctionsInput{MaxItems: aws.Int32(1)})
		if attempts != test.attempts || (err == nil) != (test.after < test.attempts) || awserr.IsThrottle(err) != test.throttled {
			t.Errorf("%s: %d attempts, throttled %t, %v", test.code, attempts, awserr.IsThrottle(err), err)
		}
		transport.CloseIdleConnections()
		server.Close()
	}
}
