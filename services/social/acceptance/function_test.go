package acceptance_test

import (
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/httpapi"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda"
	"github.com/banyan-fig/banyan/services/acceptance"
	social "github.com/banyan-fig/banyan/services/social/acceptance"
)

// TestTimelineAsAFunction: the cases against the function as it is deployed, on a
// stage of an HTTP API.
func TestTimelineAsAFunction(t *testing.T) {
	acceptance.SkipIfDeployed(t, all...)
	w := newWorld(t)
	host := functiontest.Start(t, lambda.Config{Env: []string{
		"AWS_ENDPOINT_URL=" + *w.tables.Options().BaseEndpoint, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}})
	code := functiontest.Whole(t, functiontest.Build(t, "github.com/banyan-fig/banyan/services/social/timeline/cmd/timeline-api"))
	functiontest.Deploy(t, host.Client, "timeline-api", code, map[string]string{"TIMELINE_TABLE": timelines, "BANYAN_JWT_SECRET": secret})
	url := functiontest.Serve(t, httpapi.Config{Lambda: host.Client, Function: "timeline-api", Stage: "prod"})
	social.Timeline(t, acceptance.URL(t, url+"/prod"), w.mobile)
}
