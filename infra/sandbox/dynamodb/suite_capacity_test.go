package dynamodb_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func (s *suite) capacity(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{extra: []types.AttributeDefinition{define("g", "S")},
		globals: []types.GlobalSecondaryIndex{{IndexName: aws.String("by-g"), KeySchema: schema("g", ""),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly}}}})
	put := func(it item) *types.ConsumedCapacity {
		out, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		if err != nil {
			t.Fatal(err)
		}
		return out.ConsumedCapacity
	}
	big := item{"pk": str("a"), "x": str(strings.Repeat("x", 5000))}
	wantUnits(t, "a small write", put(item{"pk": str("a")}).CapacityUnits, 1)
	wantUnits(t, "a write of 5 KB", put(big).CapacityUnits, 5)
	wantUnits(t, "a write of 5 KB with an index", put(with(big, item{"g": str("g")})).CapacityUnits, 6)
	wantUnits(t, "a write that leaves the index alone", put(with(big, item{"g": str("g"), "y": null()})).CapacityUnits, 5)
	wantUnits(t, "a write that moves in the index", put(with(big, item{"g": str("h")})).CapacityUnits, 7)
	wantUnits(t, "a small write over a large one", put(item{"pk": str("a")}).CapacityUnits, 6)
	put(with(big, item{"pk": str("b")}))
	for consistent, want := range map[bool]float64{true: 2, false: 1} {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &table, Key: item{"pk": str("b")}, ConsistentRead: &consistent,
			ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		if err != nil {
			t.Fatal(err)
		}
		wantUnits(t, "a read of 5 KB", out.ConsumedCapacity.CapacityUnits, want)
	}
	out, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true),
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	if err != nil {
		t.Fatal(err)
	}
	wantUnits(t, "a scan of 5 KB", out.ConsumedCapacity.CapacityUnits, 2)
	if none, err := s.client.Scan(ctx, &dynamodb.ScanInput{TableName: &table}); err != nil || none.ConsumedCapacity != nil {
		t.Errorf("not asked for, it is %v (%v)", none.ConsumedCapacity, err)
	}
	t.Run("of transactions is double", func(t *testing.T) { s.transactionCapacity(t, table) })
}

func (s *suite) transactionCapacity(t *testing.T, table string) {
	s.deviates(t, "it counts four units for a KB; the developer guide says two")
	out, err := s.client.TransactWriteItems(contextOf(t), &dynamodb.TransactWriteItemsInput{ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
		TransactItems: []types.TransactWriteItem{transactPut(table, item{"pk": str("c"), "x": str(strings.Repeat("x", 2000))}),
			transactPut(table, item{"pk": str("d")})}})
	if err != nil {
		t.Fatal(err)
	}
	wantUnits(t, "a transaction of 2 KB and of little", out.ConsumedCapacity[0].CapacityUnits, 6)
}

func wantUnits(t *testing.T, what string, got *float64, want float64) {
	t.Helper()
	if aws.ToFloat64(got) != want {
		t.Errorf("%s costs %v, want %v", what, aws.ToFloat64(got), want)
	}
}

func (s *suite) timeToLive(t *testing.T) {
	ctx, table := contextOf(t), s.table(t, spec{})
	set := func(attribute string, enabled bool) error {
		_, err := s.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &table,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: &enabled}})
		return err
	}
	status := func() types.TimeToLiveStatus {
		out, err := s.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
		if err != nil {
			t.Fatal(err)
		}
		return out.TimeToLiveDescription.TimeToLiveStatus
	}
	if got := status(); got != types.TimeToLiveStatusDisabled {
		t.Errorf("before: %s", got)
	}
	if err := set("expires", true); err != nil {
		t.Fatal(err)
	}
	if got := status(); got != types.TimeToLiveStatusEnabled && got != types.TimeToLiveStatusEnabling {
		t.Errorf("after: %s", got)
	}
	wantError(t, set("expires", true), validation, "TimeToLive is already enabled")
	wantError(t, set("other", true), validation, "TimeToLive is active on a different AttributeName")
}
