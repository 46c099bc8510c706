package terraform_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// api is what API Gateway tells of the timeline's.
type api struct {
	ID           string `json:"apiId"`
	Name         string
	ProtocolType string
}

func theAPI(t *testing.T, endpoint string) api {
	t.Helper()
	var all struct{ Items []api }
	get(t, endpoint, "apigateway", "/v2/apis", &all)
	for _, made := range all.Items {
		if made.Name == environment+"-timeline-api" {
			return made
		}
	}
	t.Fatalf("the timeline's API is not among %v", all.Items)
	return api{}
}

// TestPeerMadeAPI: requests of the route go to the alias, as events of the format
// that the function knows.
func TestPeerMadeAPI(t *testing.T) {
	cfg, endpoint := deployed(t)
	made := theAPI(t, endpoint)
	want(t, "the API's protocol", made.ProtocolType, "HTTP")
	var integrations struct {
		Items []struct {
			IntegrationID, IntegrationType, IntegrationURI, PayloadFormatVersion string
			TimeoutInMillis                                                      int
		}
	}
	get(t, endpoint, "apigateway", "/v2/apis/"+made.ID+"/integrations", &integrations)
	if len(integrations.Items) != 1 {
		t.Fatalf("the API has %d integrations", len(integrations.Items))
	}
	to := integrations.Items[0]
	want(t, "the integration", to.IntegrationType+" "+to.PayloadFormatVersion, "AWS_PROXY 2.0")
	if !strings.HasSuffix(to.IntegrationURI, "/functions/"+alias("timeline-api")+"/invocations") {
		t.Errorf("the API invokes %s", to.IntegrationURI)
	}
	f, env := configured(t, cfg, "timeline-api")
	want(t, "the function's memory", *f.MemorySize, 256)
	want(t, "the function's timeout", *f.Timeout, 10)
	if to.TimeoutInMillis <= int(*f.Timeout)*1000 || to.TimeoutInMillis > 30000 {
		t.Errorf("the API waits %d ms for a function that has %d s", to.TimeoutInMillis, *f.Timeout)
	}
	want(t, "TIMELINE_TABLE", env("TIMELINE_TABLE"), environment+"-timeline")
	want(t, "BANYAN_JWT_SECRET", env("BANYAN_JWT_SECRET"), "ssm:/"+environment+"/jwt-secret")
	var routes struct {
		Items []struct{ RouteKey, Target string }
	}
	get(t, endpoint, "apigateway", "/v2/apis/"+made.ID+"/routes", &routes)
	if len(routes.Items) != 1 || routes.Items[0].RouteKey != "GET /v1/timelines/{userId}" || routes.Items[0].Target != "integrations/"+to.IntegrationID {
		t.Errorf("the API's routes are %+v", routes.Items)
	}
	invoked(t, cfg, environment+"-timeline-api", "apigateway.amazonaws.com", "arn:aws:execute-api:us-east-1:123456789012:"+made.ID+"/$default/*")
}

// TestPeerMadeStage: requests are bounded, and logged without what is secret in
// them.
func TestPeerMadeStage(t *testing.T) {
	cfg, endpoint := deployed(t)
	made := theAPI(t, endpoint)
	var stages struct {
		Items []struct {
			StageName            string
			AutoDeploy           bool
			AccessLogSettings    struct{ DestinationArn, Format string }
			DefaultRouteSettings struct {
				ThrottlingRateLimit  float64
				ThrottlingBurstLimit int
			}
		}
	}
	get(t, endpoint, "apigateway", "/v2/apis/"+made.ID+"/stages", &stages)
	if len(stages.Items) != 1 {
		t.Fatalf("the API has %d stages", len(stages.Items))
	}
	stage := stages.Items[0]
	want(t, "the stage", stage.StageName, "$default")
	want(t, "deploying by itself", stage.AutoDeploy, true)
	want(t, "requests a second", stage.DefaultRouteSettings.ThrottlingRateLimit, 500)
	want(t, "requests at once", stage.DefaultRouteSettings.ThrottlingBurstLimit, 250)
	if group := stage.AccessLogSettings.DestinationArn; !strings.Contains(group, ":log-group:/aws/vendedlogs/http-api/"+environment+"-timeline-api") {
		t.Errorf("the access log is %s", group)
	}
	var line map[string]string
	if err := json.Unmarshal([]byte(stage.AccessLogSettings.Format), &line); err != nil {
		t.Fatalf("the access log is no JSON: %v\n%s", err, stage.AccessLogSettings.Format)
	}
	want(t, "the id of a request", line["requestId"], "$context.requestId")
	for name, value := range line {
		for _, secret := range []string{"query", "header", "authorizer", "sourceIp"} {
			if strings.Contains(value, secret) {
				t.Errorf("the access log has %s: %s", name, value)
			}
		}
	}
	all := alarms(t, cfg)
	for name, metric := range map[string]string{"failing": "5xx", "slow": "Latency"} {
		a, there := all[environment+"-timeline-api-api-"+name]
		if !there {
			t.Errorf("there is no alarm %s", name)
			continue
		}
		dimensions := map[string]string{}
		for _, d := range a.Dimensions {
			dimensions[*d.Name] = *d.Value
		}
		want(t, "the alarm "+name, aws.ToString(a.Namespace)+" "+*a.MetricName, "AWS/ApiGateway "+metric)
		want(t, "the alarm "+name+" watches", dimensions["ApiId"]+" "+dimensions["Stage"], made.ID+" $default")
	}
	for _, name := range []string{"errors", "throttles"} {
		if _, there := all[environment+"-timeline-api-"+name]; !there {
			t.Errorf("there is no alarm %s of the function", name)
		}
	}
}

// TestPeerMadeProxysRoute: what the proxy calls for timelines is the API.
func TestPeerMadeProxysRoute(t *testing.T) {
	_, endpoint := deployed(t)
	var task struct {
		TaskDefinition struct {
			ContainerDefinitions []struct {
				Name        string
				Environment []struct{ Name, Value string }
			}
		}
	}
	ask(t, endpoint, "ecs", "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition", map[string]string{"taskDefinition": environment + "-proxy"}, &task)
	for _, c := range task.TaskDefinition.ContainerDefinitions {
		for _, variable := range c.Environment {
			if variable.Name == "TIMELINE_URL" {
				want(t, "TIMELINE_URL", variable.Value, "https://"+theAPI(t, endpoint).ID+".execute-api.us-east-1.amazonaws.com")
				return
			}
		}
	}
	t.Error("the proxy has no TIMELINE_URL")
}
