package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/rebuild"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// ordersVariable makes this very program the function of a read model.
const ordersVariable = "ORDERS_TABLE"

var ordersSpec = function.Spec{
	Name: "orders", Policy: consumers.Halt, Tables: []function.Table{{Variable: ordersVariable}},
	Handler: func(e function.Env) (consumers.Handler, error) {
		m, err := once.NewModel(once.ModelConfig[struct{ Orders int }]{
			Name: "orders", Client: e.DynamoDB, Table: e.Table(ordersVariable),
			Key:  func(m consumers.Message) string { return m.Event.PartitionKey },
			Fold: func(o *struct{ Orders int }, _ consumers.Message) error { o.Orders++; return nil },
		})
		if err != nil {
			return nil, err
		}
		return m.Handle, nil
	},
}

// rebuilt is a stream with a live consumer, a second one without a mapping, a third with one, and their tables.
type rebuilt struct {
	archived
	live, table, other string
}

func newRebuilt(t *testing.T) *rebuilt {
	t.Helper()
	w := &rebuilt{archived: newArchived(t)}
	db := streamtest.NewDynamoDB(t) // the one of the environment
	w.live, w.table, w.other = db.CreateTable(dynamo.CompositeTable), db.CreateTable(dynamo.CompositeTable), db.CreateTable(dynamo.CompositeTable)
	t.Setenv("REBUILD_TABLE", db.CreateTable(dynamo.CompositeTable))
	t.Setenv("EVENTS_STREAM", "events")
	self, err := os.Executable()
	sandboxtest.Must(t, err)
	for name, table := range map[string]string{"orders": w.live, "orders-b": w.table, "orders-c": w.other} {
		functiontest.Deploy(t, w.host.Client, name, functiontest.Small(t, self), map[string]string{ordersVariable: table})
	}
	w.feed("orders")
	w.feed("orders-c")
	return w
}

// feed makes the mapping of a function.
func (w *rebuilt) feed(function string) {
	w.Helper()
	_, err := w.host.Client.CreateEventSourceMapping(w.Context(), &awslambda.CreateEventSourceMappingInput{
		FunctionName: &function, EventSourceArn: &w.stream, StartingPosition: types.EventSourcePositionTrimHorizon,
		FunctionResponseTypes: []types.FunctionResponseType{types.FunctionResponseTypeReportBatchItemFailures},
	})
	sandboxtest.Must(w.T, err)
}

// TestRebuild: from start to remove, by the commands, of archive and stream; what would harm is
// refused, and says what to do.
func TestRebuild(t *testing.T) {
	w := newRebuilt(t)
	w.publish("ada", "bob")
	w.waitUntilArchived(2)
	w.publish("ada", "carol")
	start := "rebuild start orders --live " + w.live + " --table " + w.table + " --function "
	check(t, "rebuild status orders", 1, "no rebuild is under way")
	check(t, start+"nobody", 1, "find function nobody")
	check(t, start+"orders", 1, "a variable of orders names "+w.live, "deploy another function")
	check(t, strings.Replace(start, "--table "+w.table, "--table other", 1)+"orders-b", 1, "no variable of orders-b names other")
	check(t, strings.Replace(start, w.table, w.other, 1)+"orders-c", 1, "disable it until the rebuild has caught up")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type result struct {
		code   int
		stdout string
		stderr string
	}
	started := make(chan result, 1)
	go func() {
		code, stdout, stderr := runUntil(t, ctx, strings.Fields(start+"orders-b")...)
		started <- result{code, stdout, stderr}
	}()
	eventually.True(t, "the rebuild has caught up", func() bool {
		code, stdout, _ := run(t, "rebuild", "status", "orders", "--json")
		var s struct{ Rebuild rebuild.State }
		return code == 0 && json.Unmarshal([]byte(stdout), &s) == nil && !s.Rebuild.CaughtUp.IsZero() && s.Rebuild.Replay.Events >= 4
	})
	check(t, "rebuild switch orders", 1, "no mapping delivers events to", "enable it")
	w.feed("orders-b")
	w.publish("ada", "dora")
	eventually.True(t, "the tables are the same", func() bool {
		code, stdout, _ := run(t, "rebuild", "compare", "orders")
		return code == 0 && strings.Contains(stdout, " has 10 items, ") // and a marker for each of 6 orders
	})
	w.plant()
	check(t, "rebuild switch orders --patience 0s", exitDiffers, "only in "+w.table, "the tables are not the same")
	check(t, "rebuild switch orders --patience 0s --skip mallory --age 10ms", 0, "readers read from "+w.table, w.live+" is kept")
	check(t, "rebuild switch orders --age 10ms", 0, "readers read from "+w.table)
	check(t, "rebuild compare orders --patience 0s", exitDiffers, "only in "+w.table)
	check(t, "rebuild back orders --age 10ms", 0, "readers read from "+w.live)
	check(t, "rebuild switch orders --patience 0s --skip mallory --age 10ms", 0, "readers read from "+w.table)
	check(t, "rebuild status orders", 0, w.table+" is live since", "(epoch 4), "+w.live+" was before", "caught up at")
	stop()
	if r := <-started; r.code != exitStopped || !strings.Contains(r.stdout, "run it again to go on") {
		t.Errorf("start, when it is stopped: %+v", r)
	}
	check(t, "rebuild remove orders", 0, w.table+" stays live", "table "+w.live+" may be deleted")
	check(t, "rebuild remove orders", 1, "no rebuild is under way")
}

// plant adds an item to the new table.
func (w *rebuilt) plant() {
	w.Helper()
	m, err := once.NewModel(once.ModelConfig[struct{}]{
		Name: "orders", Client: streamtest.NewDynamoDB(w.T).Client(nil), Table: w.table, Guard: once.ByPosition,
		Key:  func(consumers.Message) string { return "mallory" },
		Fold: func(*struct{}, consumers.Message) error { return nil },
	})
	sandboxtest.Must(w.T, err)
	sandboxtest.Must(w.T, m.Handle(w.Context(), streamtest.Message(w.T, 1, placed{Customer: "mallory"})))
}
