package terraform_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// forgotten are attributes that moto does not give back as it got them, by the
// type of the resource. A real account does.
var forgotten = map[string][]string{
	"aws_vpc_security_group_egress_rule":  {"description"},
	"aws_vpc_security_group_ingress_rule": {"description"},
	"aws_ecs_service":                     {"health_check_grace_period_seconds"},
	"aws_kinesis_stream":                  {"tags_all"}, // given in CreateStream
	"aws_s3_bucket":                       {"tags_all"}, // given in CreateBucket
}

// TestPeerPlanIsEmpty: right after an apply there is nothing to do, but for what
// moto forgets, which is named.
func TestPeerPlanIsEmpty(t *testing.T) {
	deployed(t)
	text, err := os.ReadFile(filepath.Join(os.Getenv("BANYAN_TERRAFORM_WORK"), "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	var plan struct {
		Changes []struct {
			Address, Type string
			Change        struct {
				Actions       []string
				Before, After map[string]any
			}
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Changes) < 50 {
		t.Fatalf("the plan has only %d resources", len(plan.Changes))
	}
	skipped := map[string]int{}
	for _, c := range plan.Changes {
		if slices.Equal(c.Change.Actions, []string{"no-op"}) || slices.Equal(c.Change.Actions, []string{"read"}) {
			continue
		}
		for name, after := range c.Change.After {
			before := c.Change.Before[name]
			if reflect.DeepEqual(before, after) || isSameJSON(before, after) {
				continue
			}
			if slices.Contains(forgotten[c.Type], name) && slices.Equal(c.Change.Actions, []string{"update"}) {
				skipped[c.Type+"."+name]++
				continue
			}
			t.Errorf("%v %s: %s from %v to %v", c.Change.Actions, c.Address, name, before, after)
		}
	}
	for what, n := range skipped {
		fmt.Printf("SKIPPED %s of %d resources in the second plan: moto does not give it back\n", what, n)
	}
}

// isSameJSON reports whether two texts are the same JSON: moto puts spaces into the
// redrive policy of a queue.
func isSameJSON(a, b any) bool {
	first, isText := a.(string)
	second, isTextToo := b.(string)
	var x, y any
	return isText && isTextToo && json.Unmarshal([]byte(first), &x) == nil && json.Unmarshal([]byte(second), &y) == nil && reflect.DeepEqual(x, y)
}
