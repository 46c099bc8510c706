package terraform_test

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func iam(t *testing.T, endpoint, action string, into any, parameters ...string) {
	t.Helper()
	query(t, endpoint, "iam", home, "2010-05-08", action, into, parameters...)
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
		Sid, Effect      string
		Action, Resource words
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

// TestPeerMadeRights: each function and owner of an entity may do what is said here,
// and to what is said here: no more, and no less.
func TestPeerMadeRights(t *testing.T) {
	_, endpoint := deployed(t)
	all := roles(t, endpoint)
	for function, want := range rights {
		at := slices.IndexFunc(all, func(role string) bool { return owns(role, function) })
		if at < 0 {
			t.Errorf("%s has no role", function)
			continue
		}
		got := map[string]bool{}
		for _, p := range policies(t, endpoint, all[at]) {
			for _, s := range p.Statement {
				for _, action := range s.Action {
					for _, resource := range s.Resource {
						got[strings.TrimPrefix(s.Effect+" ", "Allow ")+action+" "+short(resource)] = true
					}
				}
			}
		}
		if !strings.HasSuffix(function, "-task") { // of a container others write the logs
			want = append(want, on("log-group:/aws/lambda/~-"+function+":log-stream:*", "logs:CreateLogStream", "logs:PutLogEvents")...)
		}
		for _, right := range want {
			right = strings.ReplaceAll(right, "~", environment)
			if !got[right] {
				t.Errorf("%s may not: %s", function, right)
			}
			delete(got, right)
		}
		for right := range got {
			t.Errorf("%s may, and nobody said why: %s", function, right)
		}
	}
}

// owns tells whether a role is that of a function: its name goes on by a time.
func owns(role, function string) bool {
	name := environment + "-" + function
	after, found := strings.CutPrefix(role, name[:min(37, len(name))]+"-")
	return found && strings.Trim(after, "0123456789abcdef") == ""
}

// random is the end of a name that somebody else chose.
var (
	random = regexp.MustCompile(`((?::key|:role|/stream)/|:secret:.*-).*$`)
	bucket = regexp.MustCompile(`^([a-z-]+-)[0-9a-f]{26}/`)
)

// short is a resource without what is the same for all: arn:aws:SERVICE:REGION:ACCOUNT.
func short(resource string) string {
	resource = random.ReplaceAllString(resource, "$1")
	if parts := strings.SplitN(resource, ":", 6); len(parts) == 6 {
		return bucket.ReplaceAllString(parts[5], "$1/")
	}
	return resource
}

// on is a right for each action.
func on(resource string, actions ...string) []string {
	for i := range actions {
		actions[i] += " " + resource
	}
	return actions
}

// reads are the rights of an event source mapping.
func reads(stream, function string) []string {
	kinesis := []string{"kinesis:DescribeStream", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"}
	return append(on("stream/~-"+stream, kinesis...), "sqs:SendMessage ~-"+function+"-given-up")
}

func consumes(function string) []string {
	return slices.Concat(
		reads("events", function),
		on("table/~-"+function, "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:GetItem",
			"dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
		on("table/~-dead-letters", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
	)
}

// owner has the rights of an entity's owner, besides those on its indexes and unique values.
func owner(entity string) []string {
	return slices.Concat(
		on("table/~-control", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"),
		on("table/~-"+entity, "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem",
			"dynamodb:PutItem", "dynamodb:Scan", "dynamodb:UpdateItem"),
		on("table/~-"+entity+"-outbox", "dynamodb:BatchWriteItem", "dynamodb:DescribeTable", "dynamodb:PutItem", "dynamodb:Query",
			"dynamodb:Scan", "dynamodb:UpdateItem"),
		on("stream/~-events", "kinesis:ListShards", "kinesis:PutRecords"),
		[]string{"ssm:GetParameters parameter/~/" + entity + "/plan", "secretsmanager:GetSecretValue secret:~/mongodb-uri-", "kms:Decrypt key/"})
}

// rights are those of each function besides its logs, and of tasks; ~ is the environment.
var rights = map[string][]string{
	"users-task": append(owner("users"),
		on("table/~-users-unique", "dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem")...),
	"relationships-task": append(owner("relationships"),
		"dynamodb:Query table/~-relationships/index/following", "dynamodb:Query table/~-relationships/index/followers"),
	"posts-task": append(owner("posts"), "dynamodb:Query table/~-posts/index/author"),
	"profile":    consumes("profile"),
	"timeline": append(consumes("timeline"),
		on("~-timeline-fan-out", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage")...),
	"outbox-relay": slices.Concat(
		on("table/~-outbox/stream/", "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListShards"),
		on("table/~-outbox", "dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:UpdateItem"),
		on("table/~-dead-letters", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
		on("stream/~-events", "kinesis:ListShards", "kinesis:PutRecords"), []string{"sqs:SendMessage ~-outbox-relay-given-up"}),
	"timeline-api": append(on("table/~-timeline", "dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query"),
		"ssm:GetParameters parameter/~/jwt-secret", "kms:Decrypt key/"),
	"recommendations": consumes("recommendations"),
	"recommend-sweep": on("table/~-recommendations", "dynamodb:BatchGetItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:GetItem",
		"dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
	"recommendations-api": append(on("table/~-recommendations", "dynamodb:GetItem", "dynamodb:PutItem"),
		"ssm:GetParameters parameter/~/jwt-secret", "kms:Decrypt key/"),
	"search-indexer": append(
		on("table/~-profile/stream/", "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListShards"),
		"sqs:SendMessage ~-search-indexer-given-up", "es:ESHttpPost domain/search/_bulk", "es:ESHttpGet domain/search/_alias/*"),
	"search-api": {"es:ESHttpPost domain/search/_msearch", "ssm:GetParameters parameter/~/jwt-secret", "kms:Decrypt key/"},
	"archive":    append(reads("events", "archive"), "s3:PutObject ~-archive-/~-events/events/*"),
	"warehouse": append(on("~-warehouse", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"),
		"s3:GetObject ~-archive-/~-events/events/*", "s3:PutObject ~-warehouse-/*"),
	"janitor": slices.Concat(
		on("*", "cloudwatch:GetMetricData", "lambda:ListEventSourceMappings", "lambda:ListFunctions", "lambda:ListLayers"),
		on("function:*", "lambda:DeleteAlias", "lambda:DeleteFunction", "lambda:GetAlias", "lambda:ListAliases",
			"lambda:ListProvisionedConcurrencyConfigs", "lambda:ListVersionsByFunction"),
		on("layer:*", "lambda:DeleteLayerVersion", "lambda:GetLayerVersion", "lambda:GetLayerVersionPolicy", "lambda:ListLayerVersions")),
	"keep-warm": {"lambda:InvokeFunction function:~-timeline-api:live"},
	"sqsloop": slices.Concat(
		on("~-work", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"),
		on("~-far", "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"),
		on("table/~-sqsloop-loops", "dynamodb:UpdateItem"),
		[]string{"lambda:InvokeFunction function:~-sqsloop:live", "lambda:InvokeFunction function:work:live"}),
	"sqsloop-scale-up":   append(on("table/~-sqsloop-loops", "dynamodb:PutItem", "dynamodb:UpdateItem"), "lambda:InvokeFunction function:~-sqsloop:live"),
	"sqsloop-scale-down": on("table/~-sqsloop-loops", "dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:UpdateItem"),
	"sqsloop-restart": append(on("table/~-sqsloop-loops", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"),
		"lambda:InvokeFunction function:~-sqsloop:live"),
	"log-subscriber": append(
		on("log-group:*", "logs:DescribeLogGroups", "logs:DescribeSubscriptionFilters", "logs:PutRetentionPolicy", "logs:PutSubscriptionFilter"),
		"Deny logs:PutSubscriptionFilter log-group:/aws/lambda/~-log-shipper:*", "lambda:ListEventSourceMappings *",
		"lambda:GetFunctionConfiguration function:*", "iam:PassRole role/"),
	"log-shipper": append(reads("logs", "log-shipper"),
		"es:ESHttpPost domain/logs/_bulk", "es:ESHttpPut domain/logs/_index_template/logs-banyan", "sqs:SendMessage ~-log-shipper-refused"),
	"stream-autoscaler": slices.Concat(
		on("stream/~-audit", "kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:MergeShards", "kinesis:SplitShard", "kinesis:UpdateShardCount"),
		on("table/~-stream-autoscaler-state", "dynamodb:GetItem", "dynamodb:PutItem"), []string{"cloudwatch:GetMetricData *"}),
}
