package ownership_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

func announce(to string) func(*ownership.Record) {
	return func(r *ownership.Record) { r.Generation, r.Move = r.Generation+1, move("users", to) }
}

// TestProbe: a member acknowledges an announced name once it can use it, says at once why
// it cannot, and does not say so any more once it can, or once the record is another.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var missing atomic.Pointer[error]
		var mu sync.Mutex
		var probed []string
		b := newProbingBench(t, func(_ context.Context, collection string) error {
			mu.Lock()
			defer mu.Unlock()
			probed = append(probed, collection)
			if err := missing.Load(); err != nil {
				return *err
			}
			return nil
		})
		defer b.leave()
		ctx := context.Background()
		if states, err := b.table.Members(ctx, entity); err != nil || !states[0].Names {
			t.Errorf("the row of a member that probes is %+v, %v; want names", states, err)
		}

		refusal := errors.New("it lacks the action update on legacy.users__banyan_g1")
		missing.Store(&refusal)
		r := b.change(announce("users__banyan_g1"))
		began := time.Now()
		err := b.table.AwaitAck(ctx, entity, r.Revision)
		if !errors.Is(err, ownership.ErrProbeFailed) || !strings.Contains(err.Error(), refusal.Error()) || time.Since(began) > time.Second {
			t.Errorf("AwaitAck of a member that lacks a right = %v after %s", err, time.Since(began))
		}
		if err := b.member.Write(ctx, ok); err != nil {
			t.Errorf("Write while a move is announced = %v", err)
		}

		missing.Store(nil) // the right is granted: the same announcement is good
		time.Sleep(time.Second)
		if err := b.table.AwaitAck(ctx, entity, r.Revision); err != nil {
			t.Errorf("AwaitAck once the right is there = %v", err)
		}

		missing.Store(&refusal)
		failed := b.change(announce("users__banyan_g2"))
		if err := b.table.AwaitAck(ctx, entity, failed.Revision); !errors.Is(err, ownership.ErrProbeFailed) {
			t.Errorf("AwaitAck of the second name = %v", err)
		}
		r = b.change(func(r *ownership.Record) { r.Move = nil })
		if err := b.table.AwaitAck(ctx, entity, r.Revision); err != nil {
			t.Errorf("AwaitAck of a record that announces nothing = %v", err)
		}
		r = b.change(func(r *ownership.Record) { hold(time.Time{})(r); announce("users__banyan_g3")(r) })
		if err := b.table.AwaitAck(ctx, entity, r.Revision); err != nil {
			t.Errorf("AwaitAck of an undo, which must not wait for rights = %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if all := strings.Join(probed, " "); !strings.HasPrefix(all, "users__banyan_g1 ") || strings.Contains(all, "g3") {
			t.Errorf("probed: %s", all)
		}
	})
}

// TestProbeEndsWithTheMember: a probe that hangs delays neither the lease nor Leave.
func TestProbeEndsWithTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := make(chan struct{}, 100)
		b := newProbingBench(t, func(ctx context.Context, _ string) error {
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		r := b.change(announce("users__banyan_g1"))
		<-began
		if err := b.member.Write(t.Context(), ok); err != nil {
			t.Errorf("Write beside a probe that hangs = %v", err)
		}
		ctx, cancel := within(20 * time.Second)
		defer cancel()
		if err := b.table.AwaitAck(ctx, entity, r.Revision); !errors.Is(err, ownership.ErrProbeFailed) {
			t.Errorf("AwaitAck = %v, want the probe's failure", err)
		}
		<-began
		b.leave()
	})
}

// TestGrantNamesTheCollection, as the record has it when the operation is admitted.
func TestGrantNamesTheCollection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.leave()
		var seen []ownership.Grant
		look := func(_ context.Context, g ownership.Grant) error {
			seen = append(seen, g)
			return nil
		}
		write := func() {
			if err := b.member.Write(t.Context(), look); err != nil {
				t.Error(err)
			}
		}
		write()
		b.change(func(r *ownership.Record) { hold(time.Time{})(r); r.Generation, r.Move = 1, move("users", "P1") })
		time.AfterFunc(time.Second, func() {
			b.change(func(r *ownership.Record) {
				r.Phase, r.Collection, r.CollectionUUID, r.Move, r.Hold = ownership.Encapsulated, "P1", uuidA, nil, false
			})
		})
		time.Sleep(300 * time.Millisecond)
		write()
		want := ownership.Grant{Owner: ownership.MongoDB, Epoch: 1, Collection: "P1", CollectionUUID: uuidA}
		if len(seen) != 2 || seen[0] != (ownership.Grant{Owner: ownership.MongoDB, Epoch: 1}) || seen[1] != want {
			t.Errorf("grants: %+v", seen)
		}
		if err := b.member.Read(t.Context(), look); err != nil || seen[2] != want {
			t.Errorf("grant of a read: %+v, %v", seen[2], err)
		}
	})
}
