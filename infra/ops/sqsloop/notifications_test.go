package sqsloop_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// What notifications make of one loop, in the order in which they come: each is
// an alarm, its states, and the minute in which it changed.
func TestNotificationsInAnyOrder(t *testing.T) {
	for name, c := range map[string]struct {
		told  []string
		loops int
	}{
		"an alarm and its end":               {[]string{"a OK ALARM 1", "a ALARM OK 2"}, 1},
		"told twice":                         {[]string{"a OK ALARM 1", "a OK ALARM 1", "a ALARM OK 2", "a ALARM OK 2"}, 1},
		"two alarms":                         {[]string{"a OK ALARM 1", "b OK ALARM 2"}, 3},
		"the end of another":                 {[]string{"a OK ALARM 1", "b ALARM OK 2"}, 2},
		"an alarm that comes after its end":  {[]string{"a ALARM OK 2", "a OK ALARM 1"}, 1},
		"an end that comes after a new one":  {[]string{"a OK ALARM 1", "a OK ALARM 3", "a ALARM OK 2"}, 2},
		"an end that is lost":                {[]string{"a OK ALARM 1", "a OK ALARM 3", "a ALARM OK 4"}, 1},
		"an alarm that is lost":              {[]string{"b OK ALARM 1", "a ALARM OK 2"}, 2},
		"an alarm that says it is one still": {[]string{"a ALARM ALARM 1"}, 1},
		"no data in between":                 {[]string{"a OK ALARM 1", "a ALARM INSUFFICIENT_DATA 2", "a INSUFFICIENT_DATA ALARM 3", "a ALARM OK 4"}, 1},
		"no data at the end":                 {[]string{"a OK ALARM 1", "a ALARM INSUFFICIENT_DATA 2", "a INSUFFICIENT_DATA OK 3"}, 2},
		"none of four goes below the least":  {[]string{"a ALARM OK 1", "b ALARM OK 1", "c ALARM OK 1", "d ALARM OK 1"}, 1},
		"one beyond the most":                {[]string{"a OK ALARM 1", "b OK ALARM 1", "c OK ALARM 1", "c ALARM OK 2"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, sqsloop.Queue{Handler: "mail", Min: 1, Max: 3})
				w.loops(1)
				began := time.Now()
				for _, told := range c.told {
					f := strings.Fields(told)
					minute := time.Duration(f[3][0]-'0') * time.Minute
					event := alarmEvent(f[0], f[1], f[2], began.Add(minute))
					w.alone(func(a *actor) { // both functions are told of everything
						_, errUp := w.fleet(a).ScaleUp(a.ctx, event)
						_, errDown := w.fleet(a).ScaleDown(a.ctx, event)
						if err := errors.Join(errUp, errDown); err != nil {
							t.Error(err)
						}
					})
				}
				if tokens, count := w.rows(); len(tokens) != c.loops || count != c.loops {
					t.Errorf("%d loops, counted %d, want %d", len(tokens), count, c.loops)
				}
			})
		})
	}
}

// A queue that is stopped loses its loops, takes no alarms, and gets its least
// number back when it goes on.
func TestAStoppedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Min: 2})
		w.alone(func(a *actor) { _, _ = w.fleet(a).Restart(a.ctx) })
		turn := w.events[0].turn
		for _, step := range []struct {
			stopped bool
			loops   int
		}{{true, 0}, {true, 0}, {false, 2}} {
			time.Sleep(2 * time.Minute) // all are silent
			w.queue.Stopped = step.stopped
			w.events = nil
			w.alone(func(a *actor) {
				_, err := w.fleet(a).Restart(a.ctx)
				if step.stopped {
					_, errUp := w.fleet(a).ScaleUp(a.ctx, alarmEvent("a", "OK", "ALARM", time.Now()))
					err = errors.Join(err, errUp)
				}
				if err != nil {
					t.Error(err)
				}
			})
			if tokens, count := w.rows(); len(tokens) != step.loops || count != step.loops || len(w.events) != step.loops {
				t.Errorf("%d loops, counted %d, %d started, want %d", len(tokens), count, len(w.events), step.loops)
			}
		}
		w.alone(func(a *actor) {
			if report, err := w.loop(a, empty, -1).Run(a.ctx, turn); err != nil || !errors.Is(report.Over, sqsloop.ErrGone) {
				t.Errorf("a turn of a stopped loop: %+v, %v", report, err)
			}
		})
	})
}

// While its tokens cannot be deleted, none of a stopped queue's loops is replaced.
func TestAStoppedQueueThatKeepsItsTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail"})
		s.events, s.queue.Stopped = nil, true
		s.makeStale()
		s.rule = func(r *request) verdict {
			if r.operation == "TransactWriteItems" {
				return throttled
			}
			return served
		}
		s.act("restart", func(a *actor) {
			if changes, err := s.fleet(a).Restart(a.ctx); err == nil || len(changes) > 0 {
				t.Errorf("%+v, %v", changes, err)
			}
		})
		s.run(never)
		if len(s.events) > 0 {
			t.Errorf("%d loops were started", len(s.events))
		}
	})
}

// A most that was lowered ends the loops that are too many.
func TestALoweredMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Max: 3})
		w.loops(3)
		w.queue.Max = 1
		w.alone(func(a *actor) {
			if changes, err := w.fleet(a).Restart(a.ctx); err != nil || len(changes) != 2 || changes[1].Action != "deleted" {
				t.Errorf("%+v, %v", changes, err)
			}
		})
		if tokens, count := w.rows(); len(tokens) != 1 || count != 1 {
			t.Errorf("%d loops, counted %d", len(tokens), count)
		}
	})
}

// A queue about which the table does not answer keeps no other from its loops.
func TestOneQueueOfTwoFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{stage: &stage{world: newWorld(t, sqsloop.Queue{Handler: "mail"})}}
		s.rule = func(r *request) verdict {
			if strings.Contains(string(r.body), "/first") {
				return throttled
			}
			return served
		}
		s.act("restart", func(a *actor) {
			f := s.fleet(a)
			f.Queues = append([]sqsloop.Queue{{URL: "http://sqs.local/000000000000/first", Handler: "mail"}}, f.Queues...)
			changes, err := f.Restart(a.ctx)
			if err == nil || !strings.Contains(err.Error(), "/first") || len(changes) != 1 || changes[0].Queue != queueURL {
				t.Errorf("%+v, %v", changes, err)
			}
		})
		s.run(never)
	})
}

// A loop that was added and could not be started is started by the next restart,
// which does not wait for it to be silent first.
func TestALoopThatCouldNotBeStarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail"})
		s.events = nil
		s.rule = func(r *request) verdict {
			if r.service == "lambda" {
				return throttled
			}
			return served
		}
		var err error
		s.act("up", func(a *actor) { _, err = s.fleet(a).ScaleUp(a.ctx, alarmEvent("a", "OK", "ALARM", time.Now())) })
		s.run(never)
		if err == nil || len(s.events) > 0 {
			t.Fatalf("%v, %d events", err, len(s.events))
		}
		s.rule = func(*request) verdict { return served }
		var changes []sqsloop.Change
		s.act("restart", func(a *actor) { changes, err = s.fleet(a).Restart(a.ctx) })
		s.run(never)
		if err != nil || len(changes) != 1 || changes[0].Action != "restarted" || len(s.events) != 1 {
			t.Errorf("%+v, %v, %d events", changes, err, len(s.events))
		}
	})
}

// A loop that was added, with the answer lost twice, is started like any other, and
// left alone by a restart that comes before its first turn.
func TestAnAdditionWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, writes := newScene(t, sqsloop.Queue{Handler: "mail"}), 0
		s.events = nil
		s.rule = func(r *request) verdict {
			if r.operation == "TransactWriteItems" {
				if writes++; writes <= 2 { // one attempt of ours is two of the client's
					return []verdict{lostAfter, lostBefore}[writes-1]
				}
			}
			return served
		}
		s.act("up", func(a *actor) {
			changes, err := s.fleet(a).ScaleUp(a.ctx, alarmEvent("a", "OK", "ALARM", time.Now()))
			if err != nil || len(changes) != 1 || changes[0].Action != "added" {
				t.Errorf("%+v, %v", changes, err)
			}
		})
		s.run(never)
		if tokens, count := s.rows(); len(tokens) != 2 || count != 2 || len(s.events) != 1 || writes < 3 {
			t.Errorf("%d tokens, counted %d, %d started, %d writes", len(tokens), count, len(s.events), writes)
		}
		s.alone(func(a *actor) {
			if changes, err := s.fleet(a).Restart(a.ctx); err != nil || len(changes) > 0 {
				t.Errorf("restart: %+v, %v", changes, err)
			}
		})
	})
}

// A count that is corrected while a loop is added must not forget that one: the
// maximum would be one too high.
func TestACorrectionDuringAScaleUp(t *testing.T) {
	explore(t, func(t *testing.T, choose chooser) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Max: 4})
		w.loops(3)
		w.deleteByHand(false)
		s := &stage{world: w, choose: choose}
		s.act("restart", func(a *actor) { _, _ = w.fleet(a).Restart(a.ctx) })
		s.act("up", func(a *actor) { _, _ = w.fleet(a).ScaleUp(a.ctx, alarmEvent("a", "OK", "ALARM", time.Now())) })
		s.play(never)
		for i := range 3 {
			w.alone(func(a *actor) {
				_, _ = w.fleet(a).ScaleUp(a.ctx, alarmEvent(fmt.Sprint("more-", i), "OK", "ALARM", time.Now()))
			})
		}
		if tokens, count := w.rows(); len(tokens) > 4 {
			t.Errorf("%d loops, counted %d, want 4 at most", len(tokens), count)
		}
	})
}

// A loop whose heartbeat arrives between the reading of a restart and its change
// goes on: nothing but the time of the heartbeat tells that it lives.
func TestHeartbeatDuringARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		s.send("slow")
		turn := s.events[0].turn
		s.events = nil
		var report sqsloop.Report
		s.act("poll", func(a *actor) {
			report, _ = s.loop(a, func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				time.Sleep(25 * time.Second)
				return events.SQSEventResponse{}, nil
			}, -1).Run(a.ctx, turn)
		})
		s.run(func() bool { return s.rowUsed() && len(s.pending()) == 0 })
		s.makeStale()
		var changes []sqsloop.Change
		s.act("restart", func(a *actor) { changes, _ = s.fleet(a).Restart(a.ctx) })
		beats := 0
		s.holdBack("restart", "UpdateItem", func() bool { return beats > 0 }, func(r *request) {
			if r.actor.name == "poll" && r.operation == "UpdateItem" {
				beats++
			}
		})
		if len(changes) > 0 || report.Over != nil || report.Deleted != 1 || len(s.events) != 1 {
			t.Errorf("the restart did %+v; the loop: %+v, %d events", changes, report, len(s.events))
		}
	})
}

// holdBack serves everything, an operation of one actor not before free says so.
func (s *scene) holdBack(actor, operation string, free func() bool, saw func(r *request)) {
	for synctest.Wait(); !s.over(); synctest.Wait() {
		passed := false
		for _, r := range s.pending() {
			if r.actor.name == actor && r.operation == operation && !free() {
				continue
			}
			s.pass(r, served)
			synctest.Wait()
			saw(r)
			passed = true
			break
		}
		if !passed {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// What a queue has in the table may be more than one page: a restart sees all of it.
func TestTokensBeyondOnePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail"})
		s.makeStale()
		for i := range 4 {
			_, err := s.db().PutItem(context.Background(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: map[string]types.AttributeValue{
				"queue": &types.AttributeValueMemberS{Value: queueURL}, "token": &types.AttributeValueMemberS{Value: fmt.Sprint("#alarm/", i)},
				"changed": &types.AttributeValueMemberN{Value: "1"}, "junk": &types.AttributeValueMemberS{Value: strings.Repeat("x", 350<<10)},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		s.alone(func(a *actor) {
			if changes, err := s.fleet(a).Restart(a.ctx); err != nil || len(changes) != 1 || changes[0].Action != "restarted" {
				t.Errorf("%+v, %v", changes, err)
			}
		})
	})
}
