package ownership_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// bench is one member over a control table, in synctest's time.
type bench struct {
	t      *testing.T
	server http.Handler
	table  *ownership.Table
	member *ownership.Member
	down   atomic.Bool // the member's way to the table
	p      *process
}

func newBench(t *testing.T) *bench { return newProbingBench(t, nil) }

// newProbingBench is one whose member follows names, if probe is not nil.
func newProbingBench(t *testing.T, probe func(context.Context, string) error) *bench {
	b := &bench{t: t, server: newServer(t), p: newProcess()}
	b.table = tableOn(b.server)
	plan := func(string) fate {
		if b.down.Load() {
			return fate{throttle: true}
		}
		return fate{}
	}
	control := ownership.NewTable(clientOver(wire{handler: b.server, plan: plan, stop: b.p.wait}), "")
	var err error
	if b.member, err = ownership.Join(t.Context(), ownership.MemberConfig{
		Table: control, Entity: entity, Clock: b.p, Probe: probe,
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) leave() {
	if err := b.member.Leave(context.Background()); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) change(change func(*ownership.Record)) ownership.Record {
	b.t.Helper()
	r, err := b.table.Load(context.Background(), entity)
	if err == nil {
		r, err = b.table.Update(context.Background(), r, change)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func hold(until time.Time) func(*ownership.Record) {
	return func(r *ownership.Record) { r.Hold, r.Phase, r.HoldUntil = true, ownership.Switching, until }
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func ok(context.Context, ownership.Grant) error { return nil }

func TestHold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*ownership.Record)
		wait   time.Duration // of a write begun when the record was changed and known
		err    error
	}{
		{"none", func(*ownership.Record) {}, 0, nil},
		{"until released", hold(time.Time{}), 20 * time.Second, ownership.ErrHeld},
		{"ends by itself before the switch", func(r *ownership.Record) { hold(time.Now().Add(3 * time.Second))(r) }, 3 * time.Second, nil},
		{"with a move only by the record", func(r *ownership.Record) {
			hold(time.Now().Add(3 * time.Second))(r)
			r.Generation, r.Move = 1, &ownership.Move{From: "users", To: "users__banyan_g1"}
		}, 20 * time.Second, ownership.ErrHeld},
		{"with a move after which the owner will change", func(r *ownership.Record) {
			r.Hold, r.Phase, r.Move = true, ownership.Shadowing, &ownership.Move{From: "users", To: "users__banyan_g1"}
		}, 20 * time.Second, ownership.ErrHeld},
		{"without a move while the owner stays", func(r *ownership.Record) {
			hold(time.Now().Add(3 * time.Second))(r)
			r.Phase = ownership.Encapsulated
		}, 3 * time.Second, nil},
		{"after the switch ends when no member can believe in the old owner", func(r *ownership.Record) {
			r.Hold, r.Phase, r.Owner, r.Epoch = true, ownership.Switched, ownership.DynamoDB, 2
		}, ownership.MaxLease, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.leave()
				began := time.Now()
				b.change(c.change)
				time.Sleep(300 * time.Millisecond) // one poll
				ctx, cancel := within(20 * time.Second)
				defer cancel()
				err := b.member.Write(ctx, ok)
				took := time.Since(began)
				if !errors.Is(err, c.err) || took < c.wait || took > c.wait+time.Second {
					t.Errorf("Write = %v after %s; want %v after %s", err, took, c.err, c.wait)
				}
				if err := b.member.Read(ctx, ok); c.err == nil && err != nil {
					t.Errorf("Read = %v", err)
				}
				if s := b.member.Stats(); (s.WritesHeld == 1) != (c.wait > 0) {
					t.Errorf("%d writes held, the longest %s", s.WritesHeld, s.LongestHold)
				}
			})
		})
	}
}

// A member that cannot reach the table stops serving when its lease is over, and
// goes on by itself afterwards.
// TestAnAnnouncedHoldIsSeenAtOnce: clients wait while the last instance has not seen a hold,
// nor its end. So instances read the record often from the announcement on, which comes
// right before the hold, and the more often the fewer they are.
func TestAnAnnouncedHoldIsSeenAtOnce(t *testing.T) {
	for _, c := range []struct {
		joined time.Duration
		most   time.Duration
	}{{0, 50 * time.Millisecond}, {5 * time.Second, 10 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			b := newProbingBench(t, func(context.Context, string) error { return nil })
			defer b.leave()
			time.Sleep(c.joined)
			await := func(r ownership.Record) time.Duration {
				began := time.Now()
				if err := b.table.AwaitAck(context.Background(), entity, r.Revision); err != nil {
					t.Fatal(err)
				}
				return time.Since(began)
			}
			await(b.change(func(r *ownership.Record) {
				r.Phase, r.Generation, r.Move = ownership.Encapsulated, 1, &ownership.Move{From: "things", To: "things__banyan_g1"}
			}))
			took := await(b.change(func(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(time.Minute) }))
			if most := c.most + 5*time.Millisecond; took > most { // AwaitAck looks every 5 ms
				t.Errorf("%s after it has joined, an instance sees a hold after %s, want %s at most", c.joined, took, most)
			}
		})
	}
}

func TestLeaseRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.leave()
		b.down.Store(true)
		time.Sleep(1500 * time.Millisecond)
		if err := b.member.Read(t.Context(), ok); err != nil {
			t.Errorf("Read while the lease lasts = %v", err)
		}
		time.Sleep(time.Second)
		for name, op := range map[string]func(context.Context, func(context.Context, ownership.Grant) error) error{"Read": b.member.Read, "Write": b.member.Write} {
			ctx, cancel := within(time.Second)
			if err := op(ctx, ok); !errors.Is(err, ownership.ErrNoLease) {
				t.Errorf("%s without a lease = %v, want ErrNoLease", name, err)
			}
			cancel()
		}
		if b.member.Ready() == nil {
			t.Error("Ready without a lease")
		}
		b.down.Store(false)
		if err := b.member.Write(t.Context(), ok); err != nil {
			t.Errorf("Write once the table is back = %v", err)
		}
	})
}

// A read that slept through a switch is thrown away and run again.
func TestReadThatSleptRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.leave()
		var owners []ownership.Store
		err := b.member.Read(t.Context(), func(_ context.Context, g ownership.Grant) error {
			owners = append(owners, g.Owner)
			if len(owners) == 1 {
				resume := b.p.stop()
				r := b.change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
				if err := b.table.AwaitAck(context.Background(), entity, r.Revision); err != nil {
					t.Errorf("AwaitAck of a sleeping member = %v", err)
				}
				resume()
			}
			return nil
		})
		if err != nil || len(owners) != 2 || owners[1] != ownership.DynamoDB {
			t.Errorf("Read = %v with grants %v, want one for each owner", err, owners)
		}
	})
}

// A write that slept through a rollback, and that DynamoDB took, is not acknowledged; one that
// slept while the owner stayed is.
func TestWriteThatSleptThroughARollback(t *testing.T) {
	for name, late := range map[string]bool{"the owner changes": true, "the owner stays": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.leave()
				b.change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
				time.Sleep(time.Second)
				err := b.member.Write(t.Context(), func(_ context.Context, g ownership.Grant) error {
					if g.Owner != ownership.DynamoDB {
						t.Errorf("granted %s", g.Owner)
					}
					resume := b.p.stop()
					if late {
						r := b.change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.MongoDB, 3, ownership.Shadowing })
						if err := b.table.AwaitAck(context.Background(), entity, r.Revision); err != nil {
							t.Errorf("AwaitAck of a sleeping member = %v", err)
						}
					} else {
						time.Sleep(ownership.MaxLease)
					}
					resume()
					return nil
				})
				if errors.Is(err, ownership.ErrLate) != late || !late && err != nil {
					t.Errorf("Write = %v, want ErrLate: %v", err, late)
				}
			})
		})
	}
}

// An acknowledgement waits for the writes and for the reads of the old owner.
func TestAckWaitsForWhatRuns(t *testing.T) {
	for name, op := range map[string]func(*ownership.Member) func(context.Context, func(context.Context, ownership.Grant) error) error{
		"write": func(m *ownership.Member) func(context.Context, func(context.Context, ownership.Grant) error) error {
			return m.Write
		},
		"read": func(m *ownership.Member) func(context.Context, func(context.Context, ownership.Grant) error) error {
			return m.Read
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.leave()
				release, ended := make(chan struct{}), make(chan error, 1)
				go func() {
					var once bool
					ended <- op(b.member)(context.Background(), func(context.Context, ownership.Grant) error {
						if !once {
							once = true
							<-release
						}
						return nil
					})
				}()
				synctest.Wait()
				r := b.change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
				ctx, cancel := within(4 * time.Second)
				defer cancel()
				err := b.table.AwaitAck(ctx, entity, r.Revision)
				if !errors.Is(err, ownership.ErrNotAcked) || !strings.Contains(err.Error(), "1 in flight") {
					t.Errorf("AwaitAck = %v; want ErrNotAcked with one in flight", err)
				}
				close(release)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if err := b.table.AwaitAck(t.Context(), entity, r.Revision); err != nil {
					t.Errorf("AwaitAck afterwards = %v", err)
				}
			})
		})
	}
}

// A write that the store refuses waits for the new owner.
func TestFencedWriteIsRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.leave()
		time.AfterFunc(time.Second, func() {
			b.change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
		})
		runs := 0
		err := b.member.Write(t.Context(), func(_ context.Context, g ownership.Grant) error {
			if runs++; g.Owner == ownership.MongoDB {
				return ownership.ErrFenced
			}
			return nil
		})
		if err != nil || runs < 2 || runs > 40 {
			t.Errorf("Write = %v after %d runs", err, runs)
		}
		if s := b.member.Stats(); s.WritesHeld != 1 || s.LongestHold < time.Second {
			t.Errorf("the refused write counts as held for %s", s.LongestHold)
		}
	})
}

func TestDeadMembersAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.leave()
		dead := newProcess()
		control := ownership.NewTable(clientOver(wire{handler: b.server, stop: dead.wait}), "")
		m, err := ownership.Join(t.Context(), ownership.MemberConfig{Table: control, Entity: entity, ID: "dead", Clock: dead})
		if err != nil {
			t.Fatal(err)
		}
		resume := dead.stop()
		time.Sleep(7 * time.Second) // first seen, stood still, removed: three looks, a lease apart
		states, err := b.table.Members(t.Context(), entity)
		if err != nil || len(states) != 1 {
			t.Errorf("members = %+v, %v; want the dead one removed by the other", states, err)
		}
		resume()
		if err := m.Write(t.Context(), ok); err != nil {
			t.Errorf("Write after waking = %v", err)
		}
		if states, _ = b.table.Members(t.Context(), entity); len(states) != 2 {
			t.Errorf("%d members, want the one that woke registered again", len(states))
		}
		if err := b.table.Sweep(t.Context(), entity); err != nil {
			t.Errorf("Sweep of the living = %v", err)
		}
		if err := m.Leave(context.Background()); err != nil {
			t.Error(err)
		}
		if err := m.Read(t.Context(), ok); !errors.Is(err, ownership.ErrLeft) {
			t.Errorf("Read after Leave = %v", err)
		}
	})
}

// An update whose answer was lost knows its own write again.
func TestUpdateRecognisesItsOwnWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, sent := newServer(t), 0
		plan := func(operation string) fate {
			if operation != "PutItem" {
				return fate{}
			}
			sent++
			return fate{lose: sent == 1}
		}
		table := ownership.NewTable(clientOver(wire{handler: server, plan: plan}), "")
		r, err := table.Load(t.Context(), entity)
		if err == nil {
			r, err = table.Update(t.Context(), r, hold(time.Time{}))
		}
		if err != nil || r.Revision != 1 || sent < 2 {
			t.Errorf("Update = %+v, %v, sent %d times", r, err, sent)
		}
	})
}

func TestMissingTable(t *testing.T) {
	table := ownership.NewTable(clientOver(wire{handler: sandbox.New(sandbox.Config{})}), "elsewhere")
	_, loadErr := table.Load(t.Context(), entity)
	_, joinErr := ownership.Join(t.Context(), ownership.MemberConfig{Table: table, Entity: entity})
	for what, err := range map[string]error{"Load": loadErr, "Join": joinErr} {
		if !errors.Is(err, ownership.ErrNoTable) || !strings.Contains(err.Error(), `"elsewhere"`) || !strings.Contains(err.Error(), "banyan-migrate init") {
			t.Errorf("%s = %v; want ErrNoTable with the table's name and what to do", what, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	table := ownership.NewTable(nil, "")
	for name, cfg := range map[string]ownership.MemberConfig{
		"no table": {Entity: entity}, "no entity": {Table: table},
		"long lease": {Table: table, Entity: entity, Lease: time.Minute},
		"slow renew": {Table: table, Entity: entity, Renew: 2 * time.Second},
		"negative":   {Table: table, Entity: entity, MaxWait: -1},
	} {
		if cfg.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
