package terraform_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// iam asks IAM, in its query protocol: its client is no dependency of Banyan.
func iam(t *testing.T, endpoint, action string, into any, parameters ...string) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2010-05-08"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0")
	out, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil || out.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", action, out.Status, err, body)
	}
	if err := xml.Unmarshal(body, into); err != nil {
		t.Fatalf("%s: %v\n%s", action, err, body)
	}
}

func roles(t *testing.T, endpoint string) []string {
	var out struct {
		Names []string `xml:"ListRolesResult>Roles>member>RoleName"`
	}
	iam(t, endpoint, "ListRoles", &out)
	return out.Names
}

// policy is a policy document, whose lists of one are often no lists.
type policy struct {
	Statement []struct {
		Sid, Effect string
		Action      words
		Resource    words
	}
}

type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// policies are all inline policies of a role, by name.
func policies(t *testing.T, endpoint, role string) map[string]policy {
	t.Helper()
	var list struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	iam(t, endpoint, "ListRolePolicies", &list, "RoleName", role)
	all := map[string]policy{}
	for _, name := range list.Names {
		var got struct {
			Document string `xml:"GetRolePolicyResult>PolicyDocument"`
		}
		iam(t, endpoint, "GetRolePolicy", &got, "RoleName", role, "PolicyName", name)
		document, err := url.QueryUnescape(got.Document)
		if err != nil {
			t.Fatal(err)
		}
		var p policy
		if err := json.Unmarshal([]byte(document), &p); err != nil {
			t.Fatalf("policy %s of %s: %v\n%s", name, role, err, document)
		}
		all[name] = p
	}
	return all
}

// everywhere are the actions for which AWS knows no narrower resource.
var everywhere = map[string]bool{
	"cloudwatch:GetMetricData": true, "ecr:GetAuthorizationToken": true,
	"lambda:ListEventSourceMappings": true, "lambda:ListFunctions": true, "lambda:ListLayers": true,
}

// TestPeerMadeRoles: no role may do anything by a wildcard, nor on all resources
// but where AWS knows no other; and none has a policy from elsewhere.
func TestPeerMadeRoles(t *testing.T) {
	_, endpoint := deployed(t)
	all := roles(t, endpoint)
	if len(all) < 10 {
		t.Fatalf("there are only %d roles: %v", len(all), all)
	}
	for _, role := range all {
		var attached struct {
			Names []string `xml:"ListAttachedRolePoliciesResult>AttachedPolicies>member>PolicyName"`
		}
		iam(t, endpoint, "ListAttachedRolePolicies", &attached, "RoleName", role)
		if len(attached.Names) > 0 {
			t.Errorf("%s has the policies %v, which are not written out", role, attached.Names)
		}
		for name, p := range policies(t, endpoint, role) {
			for _, s := range p.Statement {
				for _, action := range s.Action {
					if strings.Contains(action, "*") {
						t.Errorf("%s may do %s (%s of %s)", role, action, s.Sid, name)
					}
					if strings.Join(s.Resource, " ") == "*" && !everywhere[action] {
						t.Errorf("%s may do %s to everything (%s of %s)", role, action, s.Sid, name)
					}
				}
			}
		}
	}
}

// TestPeerMadeConsumersRole: a consumer may do what it does, and to its own things.
func TestPeerMadeConsumersRole(t *testing.T) {
	_, endpoint := deployed(t)
	for _, role := range roles(t, endpoint) {
		if !strings.HasPrefix(role, environment+"-profile-") {
			continue
		}
		may := map[string]string{}
		for _, p := range policies(t, endpoint, role) {
			for _, s := range p.Statement {
				for _, action := range s.Action {
					may[action] += strings.Join(s.Resource, " ") + " "
				}
			}
		}
		for action, resource := range map[string]string{
			"dynamodb:UpdateItem": ":table/" + environment + "-profile ",
			"dynamodb:PutItem":    ":table/" + environment + "-dead-letters ",
			"kinesis:GetRecords":  ":stream/" + environment + "-events ",
			"sqs:SendMessage":     ":" + environment + "-profile-given-up ",
			"logs:PutLogEvents":   ":log-group:/aws/lambda/" + environment + "-profile:log-stream:* ",
		} {
			if !strings.Contains(may[action], resource) {
				t.Errorf("%s may do %s to %q, which lacks %s", role, action, may[action], resource)
			}
		}
		for _, action := range []string{"dynamodb:Scan", "dynamodb:DeleteTable", "logs:CreateLogGroup", "kinesis:PutRecords"} {
			if may[action] != "" {
				t.Errorf("%s may do %s", role, action)
			}
		}
		if strings.Contains(may["dynamodb:UpdateItem"], "dead-letters") || strings.Contains(may["dynamodb:PutItem"], "timeline") {
			t.Errorf("%s may write what is not its own: %v", role, may)
		}
		return
	}
	t.Error("the consumer has no role")
}
