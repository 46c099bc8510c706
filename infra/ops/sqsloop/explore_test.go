package sqsloop_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// chooser picks one of n ways to go on.
type chooser func(n int) int

// maxSchedules bounds an exploration; none of those below comes near.
const maxSchedules = 5000

// explore plays a scene in every order in which its requests can be served:
// depth first, by playing it again with the last choice changed.
func explore(t *testing.T, play func(t *testing.T, choose chooser)) {
	t.Helper()
	type choice struct{ picked, of int }
	var script []choice
	for n := 1; n <= maxSchedules; n++ {
		at := 0
		synctest.Test(t, func(t *testing.T) {
			play(t, func(of int) int {
				if at == len(script) {
					script = append(script, choice{0, of})
				}
				at++
				return script[at-1].picked
			})
		})
		if t.Failed() {
			t.Fatalf("schedule %d: %v", n, script)
		}
		script = script[:at]
		for len(script) > 0 && script[len(script)-1].picked == script[len(script)-1].of-1 {
			script = script[:len(script)-1]
		}
		if len(script) == 0 {
			t.Logf("%d schedules", n)
			return
		}
		script[len(script)-1].picked++
	}
	t.Fatalf("more than %d schedules", maxSchedules)
}

// stage runs actors until all are done, serving their requests in the order that
// is chosen. faults says how many requests may be lost, answer or effect.
type stage struct {
	*world
	choose chooser
	faults int
	actors []*actor
}

func (s *stage) act(name string, body func(a *actor)) *actor {
	a := s.newActor(name, time.Minute)
	s.actors = append(s.actors, a)
	go func() {
		defer a.cancel()
		body(a)
		s.mu.Lock()
		defer s.mu.Unlock()
		a.done = true
	}()
	return a
}

// play serves requests until until says stop or nobody is left.
func (s *stage) play(until func() bool) {
	for synctest.Wait(); !s.over() && !until(); synctest.Wait() {
		pending := s.pending()
		if len(pending) == 0 {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		r, v := pending[s.choose(len(pending))], served
		if s.faults > 0 && r.service == "dynamodb" {
			if v = []verdict{served, lostBefore, lostAfter}[s.choose(3)]; v != served {
				s.faults--
			}
		}
		s.pass(r, v)
	}
}

func (s *stage) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.actors {
		if !a.done {
			return false
		}
	}
	return true
}

func never() bool { return false }

// alone runs something without interference.
func (w *world) alone(body func(a *actor)) {
	w.t.Helper()
	s := &stage{world: w, choose: func(int) int { return 0 }}
	w.others++
	s.act(fmt.Sprint("alone", w.others), body)
	s.play(never)
}

// loops makes a queue with so many loops: the minimum by a restart, the others by
// alarms 1, 2, ... which are still on.
func (w *world) loops(n int) {
	w.t.Helper()
	for i := range n {
		w.alone(func(a *actor) {
			var err error
			if i == 0 {
				_, err = w.fleet(a).Restart(a.ctx)
			} else {
				_, err = w.fleet(a).ScaleUp(a.ctx, alarmEvent(fmt.Sprint("alarm-", i), "OK", "ALARM", time.Now()))
			}
			if err != nil {
				w.t.Error(err)
			}
		})
	}
	if tokens, count := w.rows(); len(tokens) != n || count != n {
		w.t.Fatalf("%d tokens, counted %d, want %d", len(tokens), count, n)
	}
}

// Regression: two scale-downs that both see two loops reach zero. Two are left of
// three, since somebody has deleted a token by hand, and both alarms are over.
func TestTwoScaleDownsReachZero(t *testing.T) {
	t.Parallel()
	for faults := range 2 {
		t.Run(fmt.Sprint("faults=", faults), func(t *testing.T) {
			explore(t, func(t *testing.T, choose chooser) {
				w := newWorld(t, sqsloop.Queue{Handler: "mail", Min: 1, Max: 4})
				w.loops(3)
				w.deleteByHand(true)
				time.Sleep(time.Minute)
				w.picks = choose
				s := &stage{world: w, choose: choose, faults: faults}
				for i := range 2 {
					s.act(fmt.Sprint("down", i), func(a *actor) {
						if _, err := w.fleet(a).ScaleDown(a.ctx, alarmEvent(fmt.Sprint("alarm-", i+1), "ALARM", "OK", time.Now())); err != nil {
							t.Error(err)
						}
					})
				}
				s.play(never)
				if tokens, count := w.rows(); len(tokens) != 1 || count != 1 {
					t.Errorf("%d tokens are left, counted %d, want 1", len(tokens), count)
				}
			})
		})
	}
}

// deleteByHand deletes a token as the console does, and may let a restart notice.
func (w *world) deleteByHand(noticed bool) {
	w.t.Helper()
	tokens, _ := w.rows()
	for token := range tokens {
		key := map[string]types.AttributeValue{"queue": &types.AttributeValueMemberS{Value: queueURL}, "token": &types.AttributeValueMemberS{Value: token}}
		if _, err := w.db().DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: aws.String(table), Key: key}); err != nil {
			w.t.Fatal(err)
		}
		break
	}
	if !noticed {
		return
	}
	w.alone(func(a *actor) { _, _ = w.fleet(a).Restart(a.ctx) })
	if left, count := w.rows(); count != len(tokens)-1 || len(left) != count {
		w.t.Fatalf("%d tokens, counted %d, after one of %d was deleted by hand", len(left), count, len(tokens))
	}
}

// Two at the maximum less one: one gets in.
func TestTwoScaleUpsKeepTheMaximum(t *testing.T) {
	explore(t, func(t *testing.T, choose chooser) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Min: 1, Max: 2})
		w.loops(1)
		s := &stage{world: w, choose: choose, faults: 1}
		for i := range 2 {
			s.act(fmt.Sprint("up", i), func(a *actor) {
				if _, err := w.fleet(a).ScaleUp(a.ctx, alarmEvent(fmt.Sprint("alarm-", i), "OK", "ALARM", time.Now())); err != nil {
					t.Error(err)
				}
			})
		}
		s.play(never)
		if tokens, count := w.rows(); len(tokens) != 2 || count != 2 || len(w.events) != 2 {
			t.Errorf("%d tokens, counted %d, %d loops started, want 2 of each", len(tokens), count, len(w.events))
		}
	})
}

// SNS delivers at least once: the same notification twice, at once, is one loop.
func TestRepeatedNotificationAddsOneLoop(t *testing.T) {
	explore(t, func(t *testing.T, choose chooser) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail"})
		w.loops(1)
		on, s := alarmEvent("alarm", "OK", "ALARM", time.Now()), &stage{world: w, choose: choose, faults: 1}
		for i := range 2 {
			s.act(fmt.Sprint("up", i), func(a *actor) {
				if _, err := w.fleet(a).ScaleUp(a.ctx, on); err != nil {
					t.Error(err)
				}
			})
		}
		s.play(never)
		if tokens, count := w.rows(); len(tokens) != 2 || count != 2 {
			t.Errorf("%d tokens, counted %d, want 2", len(tokens), count)
		}
	})
}

// Regression: a restart doubles a loop. Two restarts find a loop silent which
// wakes up while they run: it goes on, or one new loop replaces it.
func TestARestartDoublesALoop(t *testing.T) {
	explore(t, func(t *testing.T, choose chooser) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		w.loops(1)
		turn := w.events[0].turn
		w.events = nil
		time.Sleep(61 * time.Second) // it was started, and not heard of since
		s := &stage{world: w, choose: choose}
		var woken sqsloop.Report
		s.act("poll", func(a *actor) {
			a.turn = turn
			woken, _ = w.loop(a, empty, -1).Run(a.ctx, turn)
		})
		went := 0
		for i := range 2 {
			s.act(fmt.Sprint("restart", i), func(a *actor) {
				changes, err := w.fleet(a).Restart(a.ctx)
				if err != nil {
					t.Error(err)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				went += len(changes)
			})
		}
		s.play(never)
		if woken.Over == nil {
			went++
		}
		if went != 1 {
			t.Errorf("%d loops went on, the one that woke up among them: %t", went, woken.Over == nil)
		}
		w.checkOneLoop(woken)
	})
}

// checkOneLoop: of the events, one and no more has a turn that runs.
func (w *world) checkOneLoop(woken sqsloop.Report) {
	w.t.Helper()
	runs, all := 0, w.events
	w.events = nil
	for i, e := range all {
		w.alone(func(a *actor) {
			report, err := w.loop(a, empty, -1).Run(a.ctx, e.turn)
			if err != nil {
				w.t.Errorf("event %d: %v", i, err)
			}
			runs += report.Turns
		})
	}
	if tokens, _ := w.rows(); runs != 1 || len(tokens) != 1 {
		w.t.Errorf("%d of %d loops run for %d tokens; the one that woke up: %v", runs, len(all), len(tokens), woken.Over)
	}
}

// loop is one for an actor.
func (w *world) loop(a *actor, h sqsloop.Handler, recurseAfter time.Duration) *sqsloop.Loop {
	return &sqsloop.Loop{Queue: w.queue, Tokens: w.tokens(a), SQS: w.mail(), Next: w.starter(), Handler: h, RecurseAfter: recurseAfter}
}

func empty(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return events.SQSEventResponse{}, nil
}

// Lambda delivers an event at least once: the same turn twice at once, with any
// one request lost, runs once.
func TestRepeatedInvocationRunsOnce(t *testing.T) {
	explore(t, func(t *testing.T, choose chooser) {
		w := newWorld(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		w.loops(1)
		turn := w.events[0].turn
		w.events = nil
		s := &stage{world: w, choose: choose, faults: 1}
		turns, duplicates := 0, 0
		for i := range 2 {
			s.act(fmt.Sprint("poll", i), func(a *actor) {
				report, err := w.loop(a, empty, -1).Run(a.ctx, turn)
				if err != nil {
					t.Error(err)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				turns += report.Turns
				if errors.Is(report.Over, sqsloop.ErrDuplicate) {
					duplicates++
				}
			})
		}
		s.play(never)
		if turns != 1 || duplicates != 1 || len(w.events) != 1 || w.events[0].turn.Iteration != 1 {
			t.Errorf("%d turns ran, %d were duplicates, %d events: %v", turns, duplicates, len(w.events), w.events)
		}
	})
}
