package sqsloop_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/banyan-fig/banyan/infra/ops/sqsloop"
)

// scene is a world with one loop, whose requests fail as rule says.
type scene struct {
	*stage
	rule func(r *request) verdict
}

func newScene(t *testing.T, q sqsloop.Queue) *scene {
	w := newWorld(t, q)
	w.loops(1)
	return &scene{stage: &stage{world: w}, rule: func(*request) verdict { return served }}
}

// run serves all requests by the rule until until.
func (s *scene) run(until func() bool) {
	for synctest.Wait(); !until(); synctest.Wait() {
		pending := s.pending()
		if len(pending) == 0 {
			if s.over() {
				return
			}
			time.Sleep(100 * time.Millisecond)
			continue
		}
		s.pass(pending[0], s.rule(pending[0]))
	}
}

// follow delivers events until done, for that long at most.
func (s *scene) follow(h sqsloop.Handler, recurseAfter, limit time.Duration, done func() bool) []sqsloop.Report {
	s.t.Helper()
	var reports []sqsloop.Report
	for began := time.Now(); !done(); {
		if time.Since(began) > limit || len(s.events) == 0 {
			s.t.Errorf("after %s, with %d events waiting, it is not done: %+v", time.Since(began), len(s.events), reports)
			break
		}
		turn := s.events[0].turn
		s.events = s.events[1:]
		s.act("poll", func(a *actor) {
			report, err := s.loop(a, h, recurseAfter).Run(a.ctx, turn)
			if err != nil {
				report.Problems = append(report.Problems, err)
			}
			reports = append(reports, report)
		})
		s.run(never)
	}
	return reports
}

func (s *scene) send(bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		if _, err := s.mail().SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: aws.String(queueURL), MessageBody: &body}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// recorder is a handler that remembers what it was given.
type recorder struct{ bodies []string }

func (r *recorder) handle(_ context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	for _, m := range batch.Records {
		r.bodies = append(r.bodies, m.Body)
	}
	return events.SQSEventResponse{}, nil
}

// Regression: a failed heartbeat write ends the loop. For half a minute no write
// of the table gets through; without any restart, the loop goes on afterwards,
// and polls nothing meanwhile.
func TestAFailedHeartbeatWriteEndsTheLoop(t *testing.T) {
	for name, v := range map[string]verdict{"throttled": throttled, "lost": lostBefore, "answer lost": lostAfter} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
				s.send("hello")
				broken, polls := time.Now().Add(30*time.Second), 0
				s.rule = func(r *request) verdict {
					if down := time.Now().Before(broken); down && r.operation == "UpdateItem" {
						return v
					} else if down && r.operation == "ReceiveMessage" {
						polls++
					}
					return served
				}
				var got recorder
				reports := s.follow(got.handle, -1, 2*time.Minute, func() bool { return len(got.bodies) > 0 })
				if polls > 0 {
					t.Errorf("%d polls without a claim", polls)
				}
				for _, r := range reports {
					if r.Over != nil {
						t.Errorf("the loop ended: %v", r.Over)
					}
				}
			})
		})
	}
}

// A heartbeat in between that fails is reported, and the work goes on.
func TestFailedHeartbeatInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		s.send("slow")
		claimed := false
		s.rule = func(r *request) verdict {
			if r.operation == "UpdateItem" {
				if claimed {
					return lostBefore
				}
				claimed = true
			}
			return served
		}
		var done bool
		reports := s.follow(func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
			time.Sleep(40 * time.Second)
			done = ctx.Err() == nil
			return events.SQSEventResponse{}, ctx.Err()
		}, -1, time.Minute, func() bool { return done })
		if r := reports[0]; r.Over != nil || r.Deleted != 1 || len(r.Problems) == 0 || len(s.events) != 1 {
			t.Errorf("%+v, %d events", r, len(s.events))
		}
	})
}

// A loop that gets no heartbeat through stops polling long before a restart may
// take its token, though it could go on by its time.
func TestNoPollsWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second, StaleAfter: 10 * time.Second})
		claims, began, last := 0, time.Now(), time.Duration(0)
		s.rule = func(r *request) verdict {
			if r.operation == "UpdateItem" {
				if claims++; claims > 1 {
					return lostBefore
				}
			}
			if r.operation == "ReceiveMessage" {
				last = time.Since(began)
			}
			return served
		}
		turn := s.events[0].turn
		s.act("poll", func(a *actor) { _, _ = s.loop(a, empty, time.Minute).Run(a.ctx, turn) })
		s.run(never)
		if last == 0 || last >= 5*time.Second {
			t.Errorf("the last poll was after %s, want before 5s", last)
		}
	})
}

// While Lambda throttles, the turns go on in place; when time is up the token is
// marked, and the next restart revives it without waiting for it to be stale.
func TestLambdaDoesNotStartTheNextTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		s.rule = func(r *request) verdict {
			if r.service == "lambda" {
				return throttled
			}
			return served
		}
		turn := s.events[0].turn
		s.events = nil
		var report sqsloop.Report
		var err error
		s.act("poll", func(a *actor) { report, err = s.loop(a, empty, -1).Run(a.ctx, turn) })
		s.run(never)
		if err == nil || report.Turns < 3 || report.Polls != report.Turns || report.Over != nil {
			t.Errorf("%+v, %v: want some turns in place, and an error", report, err)
		}
		var changes []sqsloop.Change
		s.rule = func(*request) verdict { return served }
		s.act("restart", func(a *actor) { changes, err = s.fleet(a).Restart(a.ctx) })
		s.run(never)
		if err != nil || len(changes) != 1 || changes[0].Action != "restarted" || len(s.events) != 1 {
			t.Errorf("restart: %+v, %v", changes, err)
		}
	})
}

// The next turn was started, but the answer was lost: this execution runs it in
// place, and the event that comes late is shut out.
func TestLateStartIsShutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		began := time.Now()
		s.rule = func(r *request) verdict {
			if r.service == "lambda" && time.Since(began) < 8*time.Second {
				return lostAfter
			}
			return served
		}
		turn := s.events[0].turn
		s.events = nil
		s.act("poll", func(a *actor) {
			if report, err := s.loop(a, empty, -1).Run(a.ctx, turn); err != nil || report.Turns != 2 {
				t.Errorf("%+v, %v", report, err)
			}
		})
		s.run(never)
		late, duplicates := s.events, 0
		s.events = nil
		for _, e := range late {
			s.act("late", func(a *actor) {
				if report, _ := s.loop(a, empty, -1).Run(a.ctx, e.turn); errors.Is(report.Over, sqsloop.ErrDuplicate) {
					duplicates++
				}
			})
			s.run(never)
		}
		if len(late) < 3 || duplicates != len(late)-1 {
			t.Errorf("of %d events %d were shut out, want all but one", len(late), duplicates)
		}
	})
}

// An overrun loop whose token was taken over finishes its work, deletes what it
// has handled, and ends: it starts nothing and changes nothing of the new loop.
func TestTakenOverLoopDoesNotTouchTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
		s.send("slow")
		turn := s.events[0].turn
		s.events = nil
		slow := func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			time.Sleep(50 * time.Second)
			return events.SQSEventResponse{}, nil
		}
		var report sqsloop.Report
		old := s.act("poll", func(a *actor) { report, _ = s.loop(a, slow, time.Hour).Run(a.ctx, turn) })
		s.run(func() bool { return s.rowUsed() && len(s.pending()) == 0 })
		s.rule = func(r *request) verdict { // it is cut off from the table
			if r.actor == old && r.service == "dynamodb" {
				return lostBefore
			}
			return served
		}
		began := time.Now()
		s.run(func() bool { return time.Since(began) > 20*time.Second })
		s.makeStale()
		s.act("restart", func(a *actor) { _, _ = s.fleet(a).Restart(a.ctx) })
		s.run(func() bool { return len(s.events) == 1 })
		s.rule = func(*request) verdict { return served }
		tokens, _ := s.rows()
		s.run(never)
		after, _ := s.rows()
		if !errors.Is(report.Over, sqsloop.ErrTakenOver) || report.Deleted != 1 || len(s.events) != 1 {
			t.Errorf("%+v, %d events", report, len(s.events))
		}
		for token, row := range after {
			for _, name := range []string{"loop_id", "iteration", "last_used", "claim"} {
				if value(row, name) != value(tokens[token], name) {
					t.Errorf("the old loop changed %s of the token from %q to %q", name, value(tokens[token], name), value(row, name))
				}
			}
		}
	})
}

func (s *scene) rowUsed() bool {
	tokens, _ := s.rows()
	for _, row := range tokens {
		return value(row, "claim") != ""
	}
	return false
}

// makeStale sets back the heartbeat of all tokens, as if they were silent for
// longer than a turn can be in a test.
func (s *scene) makeStale() {
	s.t.Helper()
	tokens, _ := s.rows()
	for token := range tokens {
		s.setUsed(token, time.Now().Add(-2*time.Minute))
	}
}

// Messages in work stay hidden for as long as that takes.
func TestVisibilityIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second, Visibility: 10 * time.Second})
		s.send("one", "two")
		seen := 0
		lost := false
		s.rule = func(r *request) verdict { // one extension gets lost, which must not matter
			if r.operation == "ChangeMessageVisibilityBatch" && !lost {
				lost = true
				return lostBefore
			}
			return served
		}
		done := false
		reports := s.follow(func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
			for range 45 {
				time.Sleep(time.Second)
				out, err := s.mail().ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(queueURL), MaxNumberOfMessages: 10})
				if err != nil {
					t.Error(err)
				}
				seen += len(out.Messages)
			}
			done = true
			return events.SQSEventResponse{}, nil
		}, -1, 2*time.Minute, func() bool { return done })
		if seen > 0 || !lost || reports[0].Deleted != 2 {
			t.Errorf("others saw %d messages that were in work (lost an extension: %t); %+v", seen, lost, reports)
		}
	})
}

// A handler that panics, fails, or answers nonsense deletes nothing, and the loop
// goes on.
func TestWhatHandlersAnswer(t *testing.T) {
	failing := func(ids ...string) sqsloop.Handler {
		return func(_ context.Context, batch events.SQSEvent) (out events.SQSEventResponse, err error) {
			for _, id := range ids {
				if strings.HasPrefix(id, "message") {
					id = batch.Records[0].MessageId
				}
				out.BatchItemFailures = append(out.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
			}
			return out, nil
		}
	}
	for name, c := range map[string]struct {
		handler sqsloop.Handler
		deleted int
	}{
		"fine":       {failing(), 3},
		"one failed": {failing("message"), 2},
		"empty id":   {failing("message", ""), 0},
		"unknown id": {failing("no such message"), 0},
		"panic":      {func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) { panic("no") }, 0},
		"error": {func(context.Context, events.SQSEvent) (out events.SQSEventResponse, err error) {
			return out, errors.New("no")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, sqsloop.Queue{Handler: "mail", Wait: time.Second})
				s.send("one", "two", "three")
				polled := 0
				h := func(ctx context.Context, b events.SQSEvent) (events.SQSEventResponse, error) {
					polled++
					return c.handler(ctx, b)
				}
				r := s.follow(h, -1, time.Minute, func() bool { return polled > 0 })[0]
				if r.Received != 3 || r.Deleted != c.deleted || r.Failed != 3-c.deleted || r.Over != nil || len(s.events) != 1 {
					t.Errorf("%+v, %d events; want %d deleted", r, len(s.events), c.deleted)
				}
			})
		})
	}
}
