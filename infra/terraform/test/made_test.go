package terraform_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cloudwatchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamotypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// environment is the example's name, with which all names begin.
const environment = "banyan-example"

// deployed is where the example was applied. Tests are skipped where it was not.
func deployed(t *testing.T) (aws.Config, string) {
	t.Helper()
	endpoint := os.Getenv("BANYAN_TERRAFORM_ENDPOINT")
	if endpoint == "" {
		t.Skip("the example was not applied (infra/terraform/test/run.sh does it)")
	}
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithBaseEndpoint(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	return cfg, endpoint
}

func want[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// must ends the test on an error of a request.
func must[T any](t *testing.T) func(T, error) T {
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func TestPeerMadeConsumer(t *testing.T) {
	cfg, _ := deployed(t)
	client := lambda.NewFromConfig(cfg)
	name := environment + "-timeline"
	f := must[*lambda.GetFunctionOutput](t)(client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &name})).Configuration
	want(t, "the runtime", f.Runtime, types.RuntimeProvidedal2023)
	want(t, "the architecture", f.Architectures[0], types.ArchitectureArm64)
	want(t, "the memory", aws.ToInt32(f.MemorySize), 1024)
	want(t, "the timeout", aws.ToInt32(f.Timeout), 60)
	want(t, "TIMELINE_TABLE", f.Environment.Variables["TIMELINE_TABLE"], environment+"-timeline")
	want(t, "METRICS_NAMESPACE", f.Environment.Variables["METRICS_NAMESPACE"], "Banyan/Consumers")
	want(t, "DEAD_LETTER_TABLE", f.Environment.Variables["DEAD_LETTER_TABLE"], environment+"-dead-letters")
	if f.CodeSize < 1<<20 {
		t.Errorf("the package has %d bytes, which is no function's", f.CodeSize)
	}
	alias := must[*lambda.GetAliasOutput](t)(client.GetAlias(t.Context(), &lambda.GetAliasInput{FunctionName: &name, Name: aws.String("live")}))
	want(t, "the alias' version", aws.ToString(alias.FunctionVersion), "1")
}

// mapping is that of one of the environment's functions.
func mapping(t *testing.T, cfg aws.Config, function string) types.EventSourceMappingConfiguration {
	t.Helper()
	list := must[*lambda.ListEventSourceMappingsOutput](t)(
		lambda.NewFromConfig(cfg).ListEventSourceMappings(t.Context(), &lambda.ListEventSourceMappingsInput{}),
	)
	at := slices.IndexFunc(list.EventSourceMappings, func(m types.EventSourceMappingConfiguration) bool {
		return strings.HasPrefix(aws.ToString(m.FunctionArn)+":", arn+environment+"-"+function+":") &&
			!strings.HasPrefix(aws.ToString(m.EventSourceArn), "arn:aws:sqs:")
	})
	if at < 0 {
		t.Fatalf("%s has no mapping", function)
	}
	return list.EventSourceMappings[at]
}

func TestPeerMadeMapping(t *testing.T) {
	cfg, _ := deployed(t)
	name := environment + "-timeline"
	m := mapping(t, cfg, "timeline")
	if !strings.HasSuffix(*m.FunctionArn, ":"+name+":live") {
		t.Errorf("it invokes %s, not the alias", *m.FunctionArn)
	}
	if !strings.HasSuffix(*m.EventSourceArn, ":stream/"+environment+"-events") {
		t.Errorf("it reads %s", *m.EventSourceArn)
	}
	want(t, "the batch size", aws.ToInt32(m.BatchSize), 500)
	want(t, "the window", aws.ToInt32(m.MaximumBatchingWindowInSeconds), 1)
	want(t, "the parallelization factor", aws.ToInt32(m.ParallelizationFactor), 4)
	want(t, "the retries", aws.ToInt32(m.MaximumRetryAttempts), -1)
	want(t, "the record age", aws.ToInt32(m.MaximumRecordAgeInSeconds), -1)
	want(t, "bisecting", aws.ToBool(m.BisectBatchOnFunctionError), true)
	want(t, "the starting position", m.StartingPosition, types.EventSourcePositionTrimHorizon)
	if !slices.Equal(m.FunctionResponseTypes, []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures}) {
		t.Errorf("the response types are %v", m.FunctionResponseTypes)
	}
	if m.DestinationConfig == nil || m.DestinationConfig.OnFailure == nil ||
		!strings.HasSuffix(aws.ToString(m.DestinationConfig.OnFailure.Destination), ":"+name+"-given-up") {
		t.Errorf("what is given up goes to %+v", m.DestinationConfig)
	}
	queue := must[*sqs.GetQueueUrlOutput](t)(sqs.NewFromConfig(cfg).GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name + "-given-up")}))
	got := must[*sqs.GetQueueAttributesOutput](t)(
		sqs.NewFromConfig(cfg).
			GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl,
				AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll}}),
	)
	want(t, "the queue's retention", got.Attributes["MessageRetentionPeriod"], "1209600")
}

func TestPeerMadeLogsAndAlarms(t *testing.T) {
	cfg, _ := deployed(t)
	groups := must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(
		cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{}),
	)
	names := map[string]bool{}
	for _, g := range groups.LogGroups {
		names[aws.ToString(g.LogGroupName)] = true
		days := int32(30)
		if strings.HasSuffix(*g.LogGroupName, "-log-shipper") {
			days = 7
		}
		want(t, "the retention of "+*g.LogGroupName, aws.ToInt32(g.RetentionInDays), days)
	}
	for _, name := range []string{"/aws/lambda/" + environment + "-profile", "/aws/lambda/" + environment + "-janitor",
		"/aws/vendedlogs/http-api/" + environment + "-timeline-api", "/banyan/" + environment + "-proxy"} {
		if !names[name] {
			t.Errorf("there is no log group %s", name)
		}
	}
	alarms := alarms(t, cfg)
	for _, name := range []string{"errors", "throttles", "iterator-age", "given-up", "dead-letters"} {
		a, there := alarms[environment+"-profile-"+name]
		if !there {
			t.Errorf("there is no alarm %s", name)
			continue
		}
		if len(a.AlarmActions) != 1 || len(a.OKActions) != 1 {
			t.Errorf("the alarm %s tells %v and %v", name, a.AlarmActions, a.OKActions)
		}
	}
	for _, name := range []string{"errors", "iterator-age"} {
		dimensions := map[string]string{}
		for _, d := range alarms[environment+"-profile-"+name].Dimensions {
			dimensions[*d.Name] = *d.Value
		}
		want(t, "the alarm "+name+" watches", dimensions["Resource"], environment+"-profile:live")
	}
}

func alarms(t *testing.T, cfg aws.Config) map[string]cloudwatchtypes.MetricAlarm {
	t.Helper()
	all := map[string]cloudwatchtypes.MetricAlarm{}
	pages := cloudwatch.NewDescribeAlarmsPaginator(cloudwatch.NewFromConfig(cfg), &cloudwatch.DescribeAlarmsInput{})
	for pages.HasMorePages() {
		for _, a := range must[*cloudwatch.DescribeAlarmsOutput](t)(pages.NextPage(t.Context())).MetricAlarms {
			all[*a.AlarmName] = a
		}
	}
	return all
}

// TestPeerMadeDashboard: whoever is called at night sees all that answers.
func TestPeerMadeDashboard(t *testing.T) {
	cfg, endpoint := deployed(t)
	out := must[*cloudwatch.GetDashboardOutput](t)(
		cloudwatch.NewFromConfig(cfg).GetDashboard(t.Context(), &cloudwatch.GetDashboardInput{DashboardName: aws.String(environment)}),
	)
	for _, shown := range []string{
		`"StreamName","` + environment + `-events"`, `"FunctionName","` + environment + `-profile"`, `"TableName","` + environment + `-timeline"`,
		`"AWS/ApiGateway","Latency","ApiId","` + theAPI(t, endpoint).ID + `"`, `"AWS/ApplicationELB","RequestCount"`,
	} {
		if !strings.Contains(*out.DashboardBody, shown) {
			t.Errorf("the dashboard does not show %s", shown)
		}
	}
}

func TestPeerMadeTablesAndStreams(t *testing.T) {
	cfg, _ := deployed(t)
	tables := dynamodb.NewFromConfig(cfg)
	for name, keys := range map[string]string{
		"control": "pk HASH S, sk RANGE S", "dead-letters": "pk HASH S, sk RANGE S", "profile": "pk HASH S, sk RANGE S",
		"timeline": "pk HASH S, sk RANGE S", "outbox": "pk HASH S, sk RANGE S",
		"recommendations": "pk HASH S, sk RANGE S", "notifications": "pk HASH S, sk RANGE S",
		"users-outbox": "pk HASH S, sk RANGE S", "relationships-outbox": "pk HASH S, sk RANGE S", "posts-outbox": "pk HASH S, sk RANGE S",
		"stream-autoscaler-state": "stream HASH S", "sqsloop-loops": "queue HASH S, token RANGE S",
	} {
		table := must[*dynamodb.DescribeTableOutput](t)(
			tables.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(environment + "-" + name)}),
		).Table
		want(t, "the key of "+name, describeKeys(table), keys)
		if billing := table.BillingModeSummary.BillingMode; (billing == dynamotypes.BillingModeProvisioned) != (name == "timeline") {
			t.Errorf("%s is billed %s", name, billing)
		}
		if streams := table.StreamSpecification != nil && aws.ToBool(table.StreamSpecification.StreamEnabled); streams != (name == "outbox" || name == "profile") {
			t.Errorf("%s has a stream of changes: %t", name, streams)
		}
	}
	stream := must[*kinesis.DescribeStreamSummaryOutput](t)(
		kinesis.NewFromConfig(cfg).DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(environment + "-events")}),
	).StreamDescriptionSummary
	want(t, "the stream's retention", aws.ToInt32(stream.RetentionPeriodHours), 168)
	want(t, "the stream's encryption", string(stream.EncryptionType), "KMS")
	want(t, "the stream's mode", string(stream.StreamModeDetails.StreamMode), "ON_DEMAND")
}

func describeKeys(table *dynamotypes.TableDescription) string {
	kinds := map[string]string{}
	for _, a := range table.AttributeDefinitions {
		kinds[*a.AttributeName] = string(a.AttributeType)
	}
	var keys []string
	for _, k := range table.KeySchema {
		keys = append(keys, *k.AttributeName+" "+string(k.KeyType)+" "+kinds[*k.AttributeName])
	}
	return strings.Join(keys, ", ")
}

// TestPeerGone: a destroy leaves nothing of it.
func TestPeerGone(t *testing.T) {
	cfg, endpoint := deployed(t)
	ctx := context.WithoutCancel(t.Context())
	left := func(what string, names ...string) {
		if len(names) > 0 {
			t.Errorf("%s are left: %v", what, names)
		}
	}
	var functions, groups []string
	for _, f := range must[*lambda.ListFunctionsOutput](t)(lambda.NewFromConfig(cfg).ListFunctions(ctx, &lambda.ListFunctionsInput{})).Functions {
		functions = append(functions, *f.FunctionName)
	}
	found := must[*cloudwatchlogs.DescribeLogGroupsOutput](t)(cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{}))
	for _, g := range found.LogGroups {
		groups = append(groups, *g.LogGroupName)
	}
	left("functions", functions...)
	left("log groups", groups...)
	left("tables", must[*dynamodb.ListTablesOutput](t)(dynamodb.NewFromConfig(cfg).ListTables(ctx, &dynamodb.ListTablesInput{})).TableNames...)
	left("streams", must[*kinesis.ListStreamsOutput](t)(kinesis.NewFromConfig(cfg).ListStreams(ctx, &kinesis.ListStreamsInput{})).StreamNames...)
	mappings := must[*lambda.ListEventSourceMappingsOutput](t)(lambda.NewFromConfig(cfg).ListEventSourceMappings(ctx, &lambda.ListEventSourceMappingsInput{}))
	if n := len(mappings.EventSourceMappings); n > 0 {
		t.Errorf("%d mappings are left", n)
	}
	for _, region := range []string{home, "eu-west-1"} {
		there := cfg.Copy()
		there.Region = region
		left("queues", must[*sqs.ListQueuesOutput](t)(sqs.NewFromConfig(there).ListQueues(ctx, &sqs.ListQueuesInput{})).QueueUrls...)
		left("alarms", slices.Collect(maps.Keys(alarms(t, there)))...)
		var topics struct {
			ARNs []string `xml:"ListTopicsResult>Topics>member>TopicArn"`
		}
		query(t, endpoint, "sns", region, "2010-03-31", "ListTopics", &topics)
		left("topics", topics.ARNs...)
	}
	left("roles", roles(t, endpoint)...)
	var apis struct{ Items []api }
	get(t, endpoint, "apigateway", "/v2/apis", &apis)
	for _, made := range apis.Items {
		left("APIs", made.Name)
	}
	var rules struct{ Rules []struct{ Name string } }
	ask(t, endpoint, "events", "AWSEvents.ListRules", struct{}{}, &rules)
	for _, rule := range rules.Rules {
		left("rules", rule.Name)
	}
	for _, namespace := range []string{"dynamodb", "ecs", "lambda"} {
		for _, target := range scaled(t, endpoint, namespace).ScalableTargets {
			left("targets of scaling", target.ResourceID)
		}
	}
}
