package sqsloop_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run the simulation with this seed only")
	seedsFlag = flag.Int("seeds", 4, "how many seeds the simulation runs with")
)

const (
	simulationSteps = 500
	timeout         = time.Minute // of the polling function
)

// TestSimulation runs everything at once: loops, restarts, alarms told twice and
// late, lost and repeated invocations, requests that are throttled, lost, or
// arrive after their sender gave up, functions that are killed, frozen and
// retried. What holds is checked at every step.
func TestSimulation(t *testing.T) {
	t.Parallel()
	if *seedFlag != 0 {
		synctest.Test(t, func(t *testing.T) { simulate(t, *seedFlag) })
		return
	}
	for i := range *seedsFlag {
		seed := uint64(i) + 1
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

// simulation is a world that is driven by a seed.
type simulation struct {
	*world
	seed    uint64
	random  *lockedRandom
	calm    bool // no faults any more
	actors  []*actor
	number  int
	alarms  []*alarm
	told    []notification // not yet delivered
	next    time.Time      // of the restart function
	sent    map[string]string
	handled map[string]bool
	polled  map[string]time.Time // by token
	began   bool                 // there was a loop
	dupes   int
	recurse time.Duration
	changed bool // the table, since the last check
}

// lockedRandom is shared by the test and the handlers.
type lockedRandom struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (r *lockedRandom) draw(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(n)
}

func (s *simulation) draw(n int) int { return s.random.draw(n) }

type alarm struct {
	name  string
	state string
}

type notification struct {
	event events.SNSEvent
	up    bool
}

func simulate(t *testing.T, seed uint64) {
	s := &simulation{
		world: newWorld(t, sqsloop.Queue{
			Handler: "mail", Min: 1, Max: 4,
			Visibility: 30 * time.Second, Wait: 5 * time.Second,
			StaleAfter: []time.Duration{time.Minute, 12 * time.Second}[seed%2],
		}),
		seed: seed, random: &lockedRandom{random: rand.New(rand.NewPCG(seed, 4))},
		recurse: []time.Duration{-1, 15 * time.Second, 40 * time.Second}[seed%3],
		sent:    map[string]string{}, handled: map[string]bool{}, polled: map[string]time.Time{},
	}
	for i := range 4 {
		s.alarms = append(s.alarms, &alarm{fmt.Sprintf("depth-%d", i), "OK"})
	}
	s.picks = s.random.draw
	s.world.watch, s.world.effect = s.onRequest, s.onEffect
	for step := range simulationSteps {
		synctest.Wait()
		s.step()
		s.check(step)
		if t.Failed() {
			break
		}
	}
	if !t.Failed() {
		s.recover()
	}
	s.end()
}

func (s *simulation) fail(format string, args ...any) {
	s.t.Errorf("seed %d, %s: %s", s.seed, time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// step does one thing.
func (s *simulation) step() {
	if now := time.Now(); now.After(s.next) {
		s.next = now.Add(time.Minute)
		s.restart()
		if !s.calm && s.draw(3) == 0 {
			s.restart() // two at once
		}
	}
	pending := s.pending()
	switch n := s.draw(100); {
	case n < 4 && !s.calm:
		s.produce()
	case n < 7 && !s.calm:
		s.flip()
	case n < 12 && len(s.told) > 0:
		s.notify()
	case n < 14 && !s.calm:
		s.disturb()
	case n < 35 && s.deliver():
	case len(pending) == 0 || n < 45:
		time.Sleep(time.Duration(s.draw(4000)) * time.Millisecond)
	default:
		r := pending[s.draw(len(pending))]
		s.pass(r, s.verdict(r))
	}
}

func (s *simulation) verdict(r *request) verdict {
	if !s.calm && r.service == "dynamodb" && time.Now().Before(r.actor.cut) {
		return lostBefore
	}
	if s.calm || s.draw(8) > 0 {
		return served
	}
	return verdict(1 + s.draw(3))
}

// run starts an actor.
func (s *simulation) run(kind string, turn sqsloop.Turn, limit time.Duration, body func(a *actor)) {
	s.number++
	a := s.newActor(fmt.Sprintf("%s%04d", kind, s.number), limit)
	a.turn = turn
	s.actors = append(s.actors, a)
	go func() {
		defer a.cancel()
		body(a)
		s.mu.Lock()
		defer s.mu.Unlock()
		a.done = true
	}()
}

func (s *simulation) restart() {
	s.run("restart", sqsloop.Turn{}, timeout, func(a *actor) { _, _ = s.fleet(a).Restart(a.ctx) })
}

// produce sends messages; one in six is poison.
func (s *simulation) produce() {
	var kinds []string // before anybody is woken up, who draws too
	for range 1 + s.draw(12) {
		kinds = append(kinds, []string{"poison", "good"}[min(s.draw(6), 1)])
	}
	for _, kind := range kinds {
		body := fmt.Sprintf("%s-%d", kind, len(s.sent))
		out, err := s.mail().SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String(queueURL), MessageBody: &body})
		if err != nil {
			s.t.Fatal(err)
		}
		s.mu.Lock()
		s.sent[*out.MessageId] = body
		s.mu.Unlock()
	}
}

// flip changes an alarm's state and tells so: once, twice or, rarely, never, and
// in any order.
func (s *simulation) flip() {
	a := s.alarms[s.draw(len(s.alarms))]
	old := a.state
	for a.state == old {
		a.state = []string{"OK", "ALARM", "INSUFFICIENT_DATA"}[s.draw(3)]
	}
	time.Sleep(time.Millisecond)
	n := notification{alarmEvent(a.name, old, a.state, time.Now()), a.state == "ALARM"}
	for range []int{0, 1, 1, 1, 1, 2, 2, 3}[s.draw(8)] {
		s.told = append(s.told, n)
	}
}

func (s *simulation) notify() {
	i := s.draw(len(s.told))
	n := s.told[i]
	if s.calm || s.draw(4) > 0 {
		s.told = slices.Delete(s.told, i, i+1)
	}
	s.run("scale", sqsloop.Turn{}, timeout, func(a *actor) {
		if n.up {
			_, _ = s.fleet(a).ScaleUp(a.ctx, n.event)
		} else {
			_, _ = s.fleet(a).ScaleDown(a.ctx, n.event)
		}
	})
}

// disturb kills or freezes somebody, cuts them off from the table, or loses an
// event.
func (s *simulation) disturb() {
	if len(s.actors) == 0 {
		return
	}
	a := s.actors[len(s.actors)-1-s.draw(min(8, len(s.actors)))]
	switch s.draw(5) {
	case 0:
		s.kill(a)
	case 4:
		a.cut = time.Now().Add(time.Duration(s.draw(60)) * time.Second)
	case 1, 2:
		s.mu.Lock()
		a.frozen = time.Now().Add(time.Duration(s.draw(150)) * time.Second)
		s.mu.Unlock()
	case 3:
		s.mu.Lock()
		if n := len(s.events); n > 0 {
			i := s.draw(n)
			s.events = slices.Delete(s.events, i, i+1)
		}
		s.mu.Unlock()
	}
}

// deliver invokes the polling function with an event that is due, and one time in
// five keeps it to be delivered again.
func (s *simulation) deliver() bool {
	s.mu.Lock()
	var due []int
	for i, e := range s.events {
		if !time.Now().Before(e.due) {
			due = append(due, i)
		}
	}
	if len(due) == 0 {
		s.mu.Unlock()
		return false
	}
	i := due[s.draw(len(due))]
	e := s.events[i]
	if s.calm || s.draw(5) > 0 {
		s.events = slices.Delete(s.events, i, i+1)
	}
	s.mu.Unlock()
	s.run("poll", e.turn, timeout, func(a *actor) { s.poll(a, e) })
	return true
}

// poll is one invocation; what fails is retried as Lambda does.
func (s *simulation) poll(a *actor, e event) {
	loop := &sqsloop.Loop{
		Queue: s.queue, Tokens: s.tokens(a), SQS: s.mail(), Next: s.starter(),
		Handler: s.handle, RecurseAfter: s.recurse, Region: "us-east-1",
	}
	report, err := loop.Run(a.ctx, e.turn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(report.Over, sqsloop.ErrDuplicate) {
		s.dupes++
	}
	if (err != nil || a.killed) && e.attempts < 2 {
		e.attempts++
		e.due = time.Now().Add(time.Duration(e.attempts) * time.Minute)
		s.events = append(s.events, e)
	}
}

// handle is slow now and then, and fails on poison always and otherwise at times.
func (s *simulation) handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	s.mu.Lock()
	calm := s.calm
	s.mu.Unlock()
	slow, fails := time.Duration(s.draw(300))*time.Millisecond, s.draw(8) == 0 && !calm
	if s.draw(6) == 0 && !calm {
		slow = time.Duration(s.draw(100)) * time.Second
	}
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return events.SQSEventResponse{}, ctx.Err()
	}
	if fails {
		return events.SQSEventResponse{}, errors.New("a bad day")
	}
	var out events.SQSEventResponse
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range batch.Records {
		if strings.HasPrefix(m.Body, "poison") {
			out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			continue
		}
		s.handled[m.MessageId] = true
	}
	return out, nil
}

// onRequest: nobody polls with a token that is another's, or decides by what the
// table was like some time ago.
func (s *simulation) onRequest(r *request) {
	if r.operation == "Query" && !strings.Contains(string(r.body), `"ConsistentRead":true`) {
		s.fail("%s reads what may be old", r.actor.name)
	}
	if r.operation != "ReceiveMessage" {
		return
	}
	tokens, _ := s.rows()
	row, there := tokens[r.actor.turn.Token]
	if there && !strings.HasPrefix(value(row, "claim"), r.actor.name+".") {
		s.fail("%s polls for token %s, which %q has claimed (loop %s)", r.actor.name, r.actor.turn.Token, value(row, "claim"), value(row, "loop_id"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polled[r.actor.turn.Token] = time.Now()
}

// onEffect: nothing is deleted that was not handled.
func (s *simulation) onEffect(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.operation {
	case "TransactWriteItems", "UpdateItem":
		s.changed = true
	case "DeleteMessageBatch":
		var in struct {
			Entries []struct{ ReceiptHandle string }
		}
		if err := json.Unmarshal(r.body, &in); err != nil {
			s.fail("%v", err)
		}
		for _, entry := range in.Entries {
			plain, _ := base64.StdEncoding.DecodeString(entry.ReceiptHandle)
			id := strings.Split(string(plain), "/")[1]
			if !s.handled[id] {
				s.fail("message %s was deleted before it was handled", s.sent[id])
			}
		}
	}
}

// check is about the table: as many tokens as counted, within the bounds, and
// never none again.
func (s *simulation) check(step int) {
	synctest.Wait()
	s.mu.Lock()
	changed := s.changed
	s.changed = false
	s.mu.Unlock()
	if !changed {
		return
	}
	tokens, loops := s.rows()
	s.began = s.began || loops > 0
	if len(tokens) != loops || loops > s.queue.Max || s.began && loops < s.queue.Min {
		s.fail("step %d: %d tokens, counted %d, min %d, max %d", step, len(tokens), loops, s.queue.Min, s.queue.Max)
	}
}

// recover lets everything settle without faults: the loops must all be there,
// once each, and every message handled or in the dead-letter queue.
func (s *simulation) recover() {
	s.mu.Lock()
	s.calm = true
	for _, a := range s.actors {
		a.frozen = time.Time{}
	}
	s.mu.Unlock()
	quiet := time.Now().Add(8 * time.Minute)
	for time.Now().Before(quiet) && !s.t.Failed() {
		s.settle()
		time.Sleep(time.Second)
	}
	s.settle()
	s.checkMessages()
	s.checkLoops()
}

// settle lets pass and delivers whatever can be, and notifies and restarts.
func (s *simulation) settle() {
	for {
		synctest.Wait()
		if time.Now().After(s.next) {
			s.next = time.Now().Add(time.Minute)
			s.restart()
			continue
		}
		if len(s.told) > 0 {
			s.notify()
			continue
		}
		if pending := s.pending(); len(pending) > 0 {
			s.pass(pending[0], served)
			continue
		}
		if !s.deliver() {
			return
		}
	}
}

func (s *simulation) checkMessages() {
	letters := s.deadLetters()
	for id, body := range s.sent {
		switch poison := strings.HasPrefix(body, "poison"); {
		case poison && !letters[body]:
			s.fail("%s is not in the dead-letter queue", body)
		case !poison && !s.handled[id] && !letters[body]:
			s.fail("%s was neither handled nor moved to the dead-letter queue", body)
		}
	}
	s.t.Logf("seed %d: %d messages, %d dead letters", s.seed, len(s.sent), len(letters))
	out, err := s.mail().GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(queueURL), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if a := out.Attributes; a["ApproximateNumberOfMessages"] != "0" || a["ApproximateNumberOfMessagesNotVisible"] != "0" {
		s.fail("messages are left: %v", a)
	}
}

// deadLetters are the bodies that SQS has moved.
func (s *simulation) deadLetters() map[string]bool {
	letters := map[string]bool{}
	for {
		out, err := s.mail().ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(deadURL), MaxNumberOfMessages: 10})
		if err != nil {
			s.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return letters
		}
		for _, m := range out.Messages {
			letters[*m.Body] = true
		}
	}
}

// checkLoops: each token has one loop that runs, and no other does.
func (s *simulation) checkLoops() {
	tokens, _ := s.rows()
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range tokens {
		if ago := time.Since(s.polled[token]); ago > time.Minute {
			s.fail("token %s has not polled for %s", token, ago)
		}
	}
	running := map[string]int{}
	for _, a := range s.actors {
		if !a.done && strings.HasPrefix(a.name, "poll") {
			running[a.turn.Token]++
		}
	}
	for token, n := range running {
		if n > 1 || tokens[token] == nil {
			s.fail("%d loops run for token %s (there: %t)", n, token, tokens[token] != nil)
		}
	}
	s.t.Logf("seed %d: %d executions, %d of them repeated turns, %d loops", s.seed, len(s.actors), s.dupes, len(tokens))
}

// end stops everybody, so that the bubble can end.
func (s *simulation) end() {
	for _, a := range s.actors {
		s.kill(a)
	}
	synctest.Wait()
}

// alarmEvent is how SNS tells of an alarm.
func alarmEvent(name, old, state string, at time.Time) events.SNSEvent {
	message, err := json.Marshal(map[string]any{
		"AlarmName": name, "AWSAccountId": "000000000000", "OldStateValue": old, "NewStateValue": state,
		"StateChangeTime": at.UTC().Format("2006-01-02T15:04:05.000-0700"), "Region": "US East (N. Virginia)",
		"AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:" + name,
		"Trigger": map[string]any{
			"MetricName": "ApproximateNumberOfMessagesVisible", "Namespace": "AWS/SQS", "StatisticType": "Statistic", "Statistic": "MAXIMUM",
			"Unit": nil, "Dimensions": []map[string]string{{"value": "mail", "name": "QueueName"}},
			"Period": 60, "EvaluationPeriods": 3, "ComparisonOperator": "GreaterThanThreshold", "Threshold": 1000.0,
		},
	})
	if err != nil {
		panic(err)
	}
	return events.SNSEvent{Records: []events.SNSEventRecord{{EventSource: "aws:sns", SNS: events.SNSEntity{
		MessageID: name + at.String(), TopicArn: "arn:aws:sns:us-east-1:000000000000:scale", Timestamp: at, Message: string(message),
	}}}}
}
