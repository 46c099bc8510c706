package janitor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
)

// withoutProvisioned answers the one call that moto does not know.
type withoutProvisioned struct{ *lambda.Client }

func (withoutProvisioned) ListProvisionedConcurrencyConfigs(context.Context, *lambda.ListProvisionedConcurrencyConfigsInput, ...func(*lambda.Options)) (*lambda.ListProvisionedConcurrencyConfigsOutput, error) {
	return &lambda.ListProvisionedConcurrencyConfigsOutput{}, nil
}

// TestPeerSweep sweeps another implementation of Lambda's API, such as moto's
// server. It leaves alone what it did not make.
func TestPeerSweep(t *testing.T) {
	endpoint := os.Getenv("BANYAN_CONFORMANCE_LAMBDA")
	if endpoint == "" {
		t.Skip("BANYAN_CONFORMANCE_LAMBDA is not set")
	}
	w := &world{t: t, client: client(t, endpoint)}
	name := fmt.Sprintf("janitor-%d", time.Now().UnixNano())
	_, err := w.client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: &name, Role: aws.String(peerRole(t, endpoint)), Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code(t, name)},
	})
	w.must(err)
	t.Cleanup(func() {
		_, _ = w.client.DeleteFunction(t.Context(), &lambda.DeleteFunctionInput{FunctionName: &name})
	})
	for i := range 6 {
		w.publish(name, fmt.Sprint(name, i))
	}
	w.alias(name, "live", "1", "2")
	before := w.versions(name)
	j := quick(t, withoutProvisioned{w.client}, janitor.Config{Keep: 1})
	if r := j.Sweep(t.Context(), true); r.Failures != 0 || r.Versions == 0 {
		t.Errorf("dry run %+v", r)
	}
	same(t, "versions after a dry run", w.versions(name), before)
	r := j.Sweep(t.Context(), false)
	if r.Failures != 0 || r.Stopped != janitor.Done || r.Bytes == 0 {
		t.Errorf("report %+v", r)
	}
	same(t, "versions", w.versions(name), []int{1, 2, before[len(before)-1]})
	if _, err := w.client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &name}); err != nil {
		t.Errorf("$LATEST: %v", err)
	}
}

// peerRole makes the role at an endpoint that also speaks IAM, where one was not
// named by BANYAN_CONFORMANCE_LAMBDA_ROLE.
func peerRole(t *testing.T, endpoint string) string {
	t.Helper()
	if named := os.Getenv("BANYAN_CONFORMANCE_LAMBDA_ROLE"); named != "" {
		return named
	}
	form := url.Values{
		"Action": {"CreateRole"}, "Version": {"2010-05-08"}, "RoleName": {"banyan-janitor"},
		"AssumeRolePolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, response.Body) // it may exist from an earlier run
	return "arn:aws:iam::123456789012:role/banyan-janitor"
}
