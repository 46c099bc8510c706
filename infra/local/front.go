package local

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/local/awsjson"
	"github.com/banyan-fig/banyan/infra/local/kinesis"
	"github.com/banyan-fig/banyan/infra/local/lambda"
	"github.com/banyan-fig/banyan/infra/local/sqs"
)

// targets say which service a request's X-Amz-Target is for.
var targets = map[string]string{
	kinesis.Target:             Kinesis,
	sqs.Target:                 SQS,
	"DynamoDB_20120810":        DynamoDB,
	"DynamoDBStreams_20120810": DynamoDB,
}

// front is the one address of all AWS services.
type front map[string]http.Handler

// ServeHTTP implements http.Handler.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	service := serviceOf(r)
	if handler := f[service]; handler != nil {
		handler.ServeHTTP(w, r)
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == "/" {
		fmt.Fprintf(w, "Banyan's sandbox: %s\n", strings.Join(f.names(), ", "))
		return
	}
	f.refusal(service, r).ServeHTTP(w, r)
}

func serviceOf(r *http.Request) string {
	if target, _, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		if service := targets[target]; service != "" {
			return service
		}
		return target
	}
	if lambda.Handles(r.URL.Path) {
		return Lambda
	}
	return ""
}

// refusal says why nobody serves a request, in the protocol of the caller.
func (f front) refusal(service string, r *http.Request) http.Handler {
	what := fmt.Sprintf("not implemented by the sandbox: %s %s", r.Method, r.URL.Path)
	switch {
	case serviceURLs[service] != "":
		what = fmt.Sprintf("the sandbox does not embed %s because your environment names a server for it, but this request came here: set %s for this client too", service, serviceURLs[service])
	case service != "":
		what = "not implemented by the sandbox: the service " + service
	}
	return awsjson.Refuse(&awsjson.Error{Type: "UnknownOperationException", Message: what, Status: http.StatusNotFound})
}

func (f front) names() []string {
	var out []string
	for name := range f {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
