// Package sandboxtest holds what the suites of several services share: clients
// whose connections end with the test, servers, and cases that a peer may skip
// by name.
package sandboxtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Skip leaves out one case for a peer that differs from the documented service,
// and says how.
type Skip struct{ Test, Why string }

// Case is one of a suite.
type Case struct {
	Name string
	Run  func(*testing.T)
}

// Run runs a suite's cases by name, except those to be skipped.
func Run(t *testing.T, cases []Case, skips ...Skip) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			if i := slices.IndexFunc(skips, func(s Skip) bool { return s.Test == c.Name }); i >= 0 {
				t.Skip(skips[i].Why)
			}
			c.Run(t)
		})
	}
}

// Serve serves a handler on loopback until the test ends, and returns its URL.
func Serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// Config is an SDK's configuration for the server at a URL.
func Config(t testing.TB, url string) aws.Config {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	}
}

// Must ends a test at an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Is reports whether an error is or wraps an E.
func Is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// WantError is for errors whose type is part of what a service promises.
func WantError[E error](t testing.TB, err error, what string) {
	t.Helper()
	if !Is[E](err) {
		t.Errorf("%s: error %v, want a %T", what, err, *new(E))
	}
}
