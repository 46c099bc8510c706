package terraform_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// scaling is what Application Auto Scaling knows of a namespace.
type scaling struct {
	ScalableTargets []struct {
		ResourceID, ScalableDimension string
		MinCapacity, MaxCapacity      int
	}
	ScalingPolicies []struct {
		ResourceID, ScalableDimension            string
		TargetTrackingScalingPolicyConfiguration struct {
			TargetValue                   float64
			PredefinedMetricSpecification struct{ PredefinedMetricType string }
		}
	}
	ScheduledActions []struct {
		ScheduledActionName, ResourceID, ScalableDimension, Schedule, Timezone string
		ScalableTargetAction                                                   struct{ MinCapacity, MaxCapacity *int }
	}
}

func scaled(t *testing.T, endpoint, namespace string) (s scaling) {
	t.Helper()
	for _, operation := range []string{"DescribeScalableTargets", "DescribeScalingPolicies", "DescribeScheduledActions"} {
		ask(t, endpoint, "application-autoscaling", "AnyScaleFrontendService."+operation, map[string]string{"ServiceNamespace": namespace}, &s)
	}
	return s
}

// TestPeerMadeTableScaling: the table of timelines follows its load between its
// bounds, and has room before the evening.
func TestPeerMadeTableScaling(t *testing.T) {
	cfg, endpoint := deployed(t)
	name := environment + "-timeline"
	table := must[*dynamodb.DescribeTableOutput](t)(
		dynamodb.NewFromConfig(cfg).DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}),
	).Table
	want(t, "the units to read", *table.ProvisionedThroughput.ReadCapacityUnits, 50)
	want(t, "the units to write", *table.ProvisionedThroughput.WriteCapacityUnits, 50)
	all := scaled(t, endpoint, "dynamodb")
	want(t, "targets", len(all.ScalableTargets), 2)
	for _, target := range all.ScalableTargets {
		want(t, "what is scaled", target.ResourceID, "table/"+name)
		most := map[string]int{"dynamodb:table:ReadCapacityUnits": 2000, "dynamodb:table:WriteCapacityUnits": 4000}[target.ScalableDimension]
		want(t, "the least of "+target.ScalableDimension, target.MinCapacity, 50)
		want(t, "the most of "+target.ScalableDimension, target.MaxCapacity, most)
	}
	want(t, "policies", len(all.ScalingPolicies), 2)
	for _, policy := range all.ScalingPolicies {
		tracked := policy.TargetTrackingScalingPolicyConfiguration
		metric := strings.TrimPrefix(policy.ScalableDimension, "dynamodb:table:")
		want(t, "what is aimed at", tracked.TargetValue, 70)
		want(t, "what is tracked for "+metric, tracked.PredefinedMetricSpecification.PredefinedMetricType,
			"DynamoDB"+strings.TrimSuffix(metric, "Units")+"Utilization")
	}
	least := map[string]int{}
	for _, action := range all.ScheduledActions {
		want(t, action.ScheduledActionName+"'s time zone", action.Timezone, "Europe/Berlin")
		want(t, "what is scheduled", action.ResourceID, "table/"+name)
		if action.ScalableTargetAction.MaxCapacity != nil {
			t.Errorf("%s has a most of %d, which nobody asked for", action.ScheduledActionName, *action.ScalableTargetAction.MaxCapacity)
		}
		least[action.ScheduledActionName+" "+action.Schedule] = aws.ToInt(action.ScalableTargetAction.MinCapacity)
	}
	for action, want := range map[string]int{
		"evening-read cron(30 17 * * ? *)": 500, "evening-write cron(30 17 * * ? *)": 1000,
		"night-read cron(0 23 * * ? *)": 50, "night-write cron(0 23 * * ? *)": 50,
	} {
		if least[action] != want {
			t.Errorf("%s has a least of %d, want %d", action, least[action], want)
		}
	}
}

// TestPeerMadeFunctionScaling: the same for instances of a function that are kept
// ready.
func TestPeerMadeFunctionScaling(t *testing.T) {
	_, endpoint := deployed(t)
	all := scaled(t, endpoint, "lambda")
	if len(all.ScalableTargets) != 1 || len(all.ScalingPolicies) != 1 || len(all.ScheduledActions) != 2 {
		t.Fatalf("there are %+v", all)
	}
	target := all.ScalableTargets[0]
	want(t, "what is scaled", target.ResourceID, "function:"+environment+"-timeline:live")
	want(t, "the least", target.MinCapacity, 1)
	want(t, "the most", target.MaxCapacity, 10)
	for _, action := range all.ScheduledActions {
		want(t, action.ScheduledActionName, aws.ToInt(action.ScalableTargetAction.MinCapacity),
			map[string]int{"evening": 4, "night": 1}[action.ScheduledActionName])
	}
}
