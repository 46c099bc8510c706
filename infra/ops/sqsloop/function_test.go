package sqsloop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// tokens are the rows of the table by token, and the count.
func (c *cloud) tokens() (map[string]map[string]types.AttributeValue, string) {
	c.t.Helper()
	out, err := c.db.Query(context.Background(), &dynamodb.QueryInput{
		TableName: aws.String(sqsloop.DefaultTable), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String("queue = :q"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":q": &types.AttributeValueMemberS{Value: c.queue}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	rows, count := map[string]map[string]types.AttributeValue{}, ""
	for _, item := range out.Items {
		switch name := value(item, "token"); {
		case name == "#loops":
			count = value(item, "loops")
		case !strings.HasPrefix(name, "#"):
			rows[name] = item
		}
	}
	return rows, count
}

// The functions as they are deployed: started, scaled by notifications that come
// twice at once, with poison, and with turns that are delivered again.
func TestFunctions(t *testing.T) {
	c := newCloud(t, 1)
	if err := c.call("sqsloop-restart", nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for i := range 30 {
		body := fmt.Sprintf("message-%d", i)
		want[body] = true
		c.send(body)
	}
	c.send("poison-1", "poison-2")
	c.twice("sqsloop-scale-up", alarmEvent("depth", "OK", "ALARM", time.Now().Add(-time.Minute)))
	if rows, count := c.tokens(); len(rows) != 2 || count != "2" {
		t.Errorf("%d tokens, counted %s, after one alarm was told twice", len(rows), count)
	}
	c.twice("sqsloop-scale-up", alarmEvent("depth", "ALARM", "INSUFFICIENT_DATA", time.Now()))
	c.eventually("all is handled", func() bool {
		bodies, _ := c.handled()
		return len(bodies) >= len(want) && c.left() == "0+0"
	})
	if bodies, traces := c.handled(); len(bodies) != len(want) || len(traces) < 2 {
		t.Errorf("handled %v under %d traces", bodies, len(traces))
	}
	if letters := c.letters(map[string]bool{}); len(letters) != 2 || !letters["poison-1"] || !letters["poison-2"] {
		t.Errorf("dead letters: %v", letters)
	}
	c.twice("sqsloop-scale-down", alarmEvent("depth", "ALARM", "OK", time.Now()))
	c.twice("sqsloop-scale-down", alarmEvent("other", "ALARM", "OK", time.Now()))
	if rows, count := c.tokens(); len(rows) != 1 || count != "1" {
		t.Errorf("%d tokens, counted %s, after the alarm was over", len(rows), count)
	}
	c.repeatTurn()
}

// twice delivers a notification twice at the same time, and then once more.
func (c *cloud) twice(name string, event any) {
	c.t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := c.call(name, event); err != nil {
				c.t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := c.call(name, event); err != nil {
		c.t.Error(err)
	}
}

// repeatTurn delivers turns again that were run, as Lambda may do: nothing comes
// of them, and the loop goes on in single file.
func (c *cloud) repeatTurn() {
	c.t.Helper()
	rows, _ := c.tokens()
	for token, row := range rows {
		var iteration int64
		if _, err := fmt.Sscan(value(row, "iteration"), &iteration); err != nil {
			c.t.Fatal(err)
		}
		for n := range int64(4) {
			payload, _ := json.Marshal(sqsloop.Turn{Queue: c.queue, Token: token, Loop: value(row, "loop_id"), Iteration: max(0, iteration-1-n)})
			_, err := c.lambda.Invoke(c.t.Context(), &lambda.InvokeInput{
				FunctionName: aws.String("sqsloop:live"), InvocationType: lambdatypes.InvocationTypeEvent, Payload: payload,
			})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.eventually("the repeated turns are refused", func() bool {
		log, _ := os.ReadFile(c.log)
		return strings.Count(string(log), `"over":"the turn was run before"`) >= 4
	})
	c.checkSingleFile()
}

// checkSingleFile: each token's turns follow each other; two loops of one token
// would run turns at more than the rate of one poll a second.
func (c *cloud) checkSingleFile() {
	c.t.Helper()
	iterations := func() (sum int64) {
		rows, _ := c.tokens()
		for _, row := range rows {
			var n int64
			_, _ = fmt.Sscan(value(row, "iteration"), &n)
			sum += n
		}
		return sum
	}
	began := time.Now()
	before := iterations()
	c.eventually("the loop goes on", func() bool { return iterations() >= before+3 })
	if took := time.Since(began); took < 1900*time.Millisecond {
		c.t.Errorf("three more turns of an idle queue took %s: more than one loop polls", took)
	}
}

// Throttled and lost requests of every service, and functions that are killed in
// their midst; every message is handled or kept, and the loops are all there.
func TestFunctionsUnderFaults(t *testing.T) {
	const seed = 7
	c := newCloud(t, seed)
	c.plan(`delay 100ms
dynamodb.* throttle=0.1 timeout-before=0.05 timeout-after=0.1 internal=0.05 partial=0.05
sqs.* throttle=0.05 timeout-before=0.03 internal=0.05 partial=0.2 duplicate=0.05
lambda.Invoke throttle=0.04 partial=0.06 late=0.04`)
	restart := func() { _ = c.call("sqsloop-restart", nil) } // it is called again
	want := map[string]bool{}
	for round := range 3 {
		restart()
		_ = c.call("sqsloop-scale-up", alarmEvent("depth", "OK", "ALARM", time.Now()))
		for i := range 8 {
			body := fmt.Sprintf("message-%d-%d", round, i)
			want[body] = true
			c.eventually("sending", func() bool { return c.trySend(body) == nil })
		}
		time.Sleep(500 * time.Millisecond) // messages come little by little
	}
	c.sandbox.Faults().Switch(false)
	letters := map[string]bool{}
	last := time.Now()
	c.eventually(fmt.Sprintf("seed %d: every message is handled or in the dead-letter queue", seed), func() bool {
		if time.Since(last) > time.Second {
			last = time.Now()
			restart()
		}
		bodies, _ := c.handled()
		c.letters(letters)
		for body := range want {
			if bodies[body] == 0 && !letters[body] {
				return false
			}
		}
		return c.left() == "0+0"
	})
	if n := c.sandbox.Faults().Total(); n < 20 {
		t.Errorf("only %d faults were injected", n)
	}
	rows, count := c.tokens()
	if fmt.Sprint(len(rows)) != count || len(rows) < 1 || len(rows) > 3 {
		t.Errorf("%d tokens, counted %s", len(rows), count)
	}
}

// A function that is killed in the midst of a turn is replaced by the next
// restart after its silence, once, though Lambda retries it as well.
func TestKilledFunctionIsReplaced(t *testing.T) {
	c := newCloud(t, 1)
	if err := c.call("sqsloop-restart", nil); err != nil {
		t.Fatal(err)
	}
	c.eventually("the loop runs", func() bool { return c.iteration() > 0 })
	c.plan("lambda.Invoke partial=1") // the next invocations are killed
	quiet := time.Now()
	c.eventually("the loop is dead", func() bool { // and no turn waits for its start
		log, _ := os.ReadFile(c.log)
		if c.sandbox.Faults().Total() == 0 || strings.Count(string(log), "sqsloop: START") > strings.Count(string(log), "sqsloop: END") {
			quiet = time.Now()
		}
		return time.Since(quiet) > 1500*time.Millisecond
	})
	c.sandbox.Faults().Switch(false)
	before, _ := c.tokens()
	c.send("after")
	c.eventually("it is replaced", func() bool {
		c.twice("sqsloop-restart", nil)
		rows, _ := c.tokens()
		return c.loopID(rows) != c.loopID(before)
	})
	c.eventually("the message is handled", func() bool { bodies, _ := c.handled(); return bodies["after"] == 1 })
	if log, _ := os.ReadFile(c.log); strings.Count(string(log), `"LoopsRestarted":1,"Queue":"mail"`) != 1 {
		t.Errorf("not one restart was counted: %s", log)
	}
	c.checkSingleFile()
}

func (c *cloud) iteration() (n int64) {
	rows, _ := c.tokens()
	for _, row := range rows {
		_, _ = fmt.Sscan(value(row, "iteration"), &n)
	}
	return n
}

func (c *cloud) loopID(rows map[string]map[string]types.AttributeValue) string {
	for _, row := range rows {
		return value(row, "loop_id")
	}
	return ""
}

// A message that kills its handler ends in the queue's dead-letter queue like any
// other, and stops no other message for good.
func TestDeadlyMessage(t *testing.T) {
	c := newCloud(t, 1)
	if err := c.call("sqsloop-restart", nil); err != nil {
		t.Fatal(err)
	}
	c.send("deadly")
	letters := map[string]bool{}
	c.eventually("SQS has moved it", func() bool { return c.letters(letters)["deadly"] })
	c.send("harmless")
	c.eventually("another is handled", func() bool { bodies, _ := c.handled(); return bodies["harmless"] > 0 })
}
