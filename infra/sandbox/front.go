package sandbox

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/kinesis"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/infra/sandbox/logs"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
	"github.com/banyan-fig/banyan/infra/sandbox/sqs"
)

// targets say which service a request's X-Amz-Target is for.
var targets = map[string]string{
	kinesis.Target:             Kinesis,
	sqs.Target:                 SQS,
	logs.Target:                Logs,
	settings.ParametersTarget:  SSM,
	settings.SecretsTarget:     Secrets,
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
	service = cmp.Or(service, signedFor(r))
	if service == "" && r.Method == http.MethodGet && r.URL.Path == "/" {
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
	if strings.HasPrefix(r.URL.Path, cloudwatch.PathPrefix) {
		return CloudWatch
	}
	return ""
}

// signedFor is the service in a signature's scope, which is there whatever the
// protocol: "... Credential=key/date/region/service/aws4_request, ...".
func signedFor(r *http.Request) string {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	switch {
	case len(parts) != 5:
		return ""
	case parts[3] == "monitoring":
		return CloudWatch
	}
	return parts[3]
}

// refusal says why nobody serves a request, in the protocol of the caller.
func (f front) refusal(service string, r *http.Request) http.Handler {
	what := fmt.Sprintf("not implemented by the sandbox: %s %s", r.Method, r.URL.Path)
	switch {
	case f[service] != nil: // in a protocol that the service spoke before
		what = fmt.Sprintf("not implemented by the sandbox: %s %s of %s; let the client speak its newest protocol", r.Method, r.URL.Path, service)
	case serviceURLs[service] != "":
		what = fmt.Sprintf("the sandbox does not embed %s because your environment names a server for it, but this request came here: set %s "+
			"for this client too", service, serviceURLs[service])
	case service != "":
		what = fmt.Sprintf("not implemented by the sandbox: the service %s (%s %s)", service, r.Method, r.URL.Path)
	}
	e := &awsjson.Error{Type: "UnknownOperationException", Message: what, Status: http.StatusNotFound}
	switch {
	case service == "s3":
		return refuseInXML("Error", "", e)
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		return refuseInXML("ErrorResponse", "Error", e)
	}
	return awsjson.Refuse(e)
}

// refuseInXML answers a client of a service that speaks XML, which would
// otherwise complain of the syntax instead of telling what the error is.
func refuseInXML(outer, inner string, e *awsjson.Error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		open, end := "<"+outer+">", "</"+outer+">"
		if inner != "" {
			open, end = open+"<"+inner+">", "</"+inner+">"+end
		}
		var message strings.Builder
		_ = xml.EscapeText(&message, []byte(e.Message)) // a Builder takes everything
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(e.Status)
		fmt.Fprintf(w, "%s<Code>%s</Code><Message>%s</Message>%s", open, e.Type, message.String(), end)
	})
}

func (f front) names() []string {
	var out []string
	for name := range f {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
