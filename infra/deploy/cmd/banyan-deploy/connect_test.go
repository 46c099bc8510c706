package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go/middleware"
)

// TestAttemptsWithoutAnAnswerTimeOut: a call without an answer is tried again, and a person is told.
func TestAttemptsWithoutAnAnswerTimeOut(t *testing.T) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 3 {
			<-r.Context().Done() // when the client has had enough
			return
		}
		_, _ = w.Write([]byte(`{"FunctionVersion":"7"}`))
	}))
	defer server.Close()
	var notes bytes.Buffer
	s := &screen{notes: &notes, now: time.Now}
	client := lambda.New(lambda.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Retryer:    reportingRetryer{retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 3, time.Millisecond }), s},
		APIOptions: []func(*middleware.Stack) error{limitAttemptTime(500*time.Millisecond, time.Hour)},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	out, err := client.GetAlias(t.Context(), &lambda.GetAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")})
	if err != nil || *out.FunctionVersion != "7" || calls.Load() != 3 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
	if got := notes.String(); strings.Count(got, "no answer to GetAlias within 500ms") != 2 || !strings.Contains(got, "attempt 2 of 8") {
		t.Errorf("told was %q", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	calls.Store(0)
	if _, err := client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: aws.String("f"), Name: aws.String("live")}); err == nil || calls.Load() > 1 {
		t.Errorf("whose time is over: %v after %d calls", err, calls.Load())
	}
}
