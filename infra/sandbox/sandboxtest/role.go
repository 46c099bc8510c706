package sandboxtest

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// Role is the ARN of a role for functions: the one that BANYAN_CONFORMANCE_LAMBDA_ROLE
// names, or else one that it makes at an endpoint which speaks IAM too, as moto does.
func Role(t testing.TB, endpoint string) string {
	t.Helper()
	named := os.Getenv("BANYAN_CONFORMANCE_LAMBDA_ROLE")
	if named != "" {
		return named
	}
	const name = "banyan-conformance"
	form := url.Values{
		"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {name},
		"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
			`"Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusConflict { // it is there from an earlier run
		t.Fatalf("make a role at %s: %s", endpoint, answer.Status)
	}
	return "arn:aws:iam::123456789012:role/" + name
}
