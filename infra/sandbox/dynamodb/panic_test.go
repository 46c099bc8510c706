package dynamodb_test

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// TestPanicsLeaveNothingLocked: wherever a transaction panics, its token is not in
// progress for ever and its tables are not locked.
func TestPanicsLeaveNothingLocked(t *testing.T) {
	var callsLeft atomic.Int64 // of the clock, before it panics
	var log bytes.Buffer
	server := dynamodb.New(dynamodb.Config{Now: func() time.Time {
		if callsLeft.Add(-1) == 0 {
			panic("a mistake")
		}
		return time.Now()
	}})
	client, _ := clients(t, sandboxtest.Serve(t, awsjson.Recover(&log, server)), aws.NopRetryer{})
	makeTable(t, client, "table")
	transact := func(token string) error {
		_, err := client.TransactWriteItems(t.Context(), &sdk.TransactWriteItemsInput{ClientRequestToken: &token, TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("table"), Item: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: token}}}},
		}})
		return err
	}
	panics := 0
	for after := int64(1); ; after++ {
		token := strings.Repeat("t", int(after))
		callsLeft.Store(after)
		err := transact(token)
		callsLeft.Store(0)
		if err == nil {
			break // it ends before so many looks at the clock
		}
		if panics++; !strings.Contains(err.Error(), "InternalServerError: the sandbox panicked: a mistake") {
			t.Errorf("a panic at look %d at the clock: %v", after, err)
		}
		if err := transact(token); err != nil {
			t.Errorf("the same transaction after a panic at look %d: %v", after, err)
		}
	}
	if panics < 2 || strings.Count(log.String(), "panicked: a mistake") != panics {
		t.Errorf("%d panics, the log: %s", panics, &log)
	}
}
