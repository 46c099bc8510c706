package migrate_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/backfill"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/verify"
)

func stamped(i int, name string, stamps map[string]types.AttributeValue) codec.Item {
	return codec.Item{"id": &types.AttributeValueMemberS{Value: userID(i).Hex()}, "name": &types.AttributeValueMemberS{Value: name},
		codec.Reserved: &types.AttributeValueMemberM{Value: stamps}}
}

// maxStamp is the latest source time: no change replaces an item that has it.
var maxStamp = map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "18446744073709551615"}}

func (w *world) nameOf(i int) string {
	w.t.Helper()
	for _, item := range w.scan("users") {
		if item["id"].(*types.AttributeValueMemberS).Value == userID(i).Hex() {
			return item["name"].(*types.AttributeValueMemberS).Value
		}
	}
	return ""
}

// What the service wrote in DynamoDB is never overwritten: not by a change, not
// by a copy begun afresh, not by a repair.
func TestWhatTheServiceWroteIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"change", "copy", "repair"} {
		t.Run(name, func(t *testing.T) {
			w := shadowing(t, 20)
			w.put("users", stamped(3, "by the service", map[string]types.AttributeValue{
				"e": &types.AttributeValueMemberN{Value: "2"}, "t": &types.AttributeValueMemberN{Value: "1"}}))
			var err error
			switch name {
			case "change":
				if _, err := w.users.UpdateByID(w.ctx, userID(3), rename("by a late writer")); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
				defer cancel()
				err = w.engine().Run(ctx, migrate.RunOptions{})
			case "copy":
				err = w.engine().Run(w.ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true})
			case "repair":
				_, err = w.engine().Verify(w.ctx, verify.Options{Repair: true})
			}
			if name != "copy" && !errors.Is(err, side.ErrServiceOwned) || name == "copy" && err != nil {
				t.Error(err)
			}
			if got := w.nameOf(3); got != "by the service" {
				t.Errorf("the item is now %q", got)
			}
		})
	}
}

// A document that changed after the last comparison before the hold, and differs,
// undoes the cut-over.
func TestTheTailIsComparedWhileWritesAreHeld(t *testing.T) {
	w := shadowing(t, 40)
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		if step == cutover.StepHold {
			w.put("users", stamped(5, "tampered", maxStamp))
			if _, err := w.users.UpdateByID(w.ctx, userID(5), rename("changed")); err != nil {
				t.Error(err)
			}
		}
	}})
	if !errors.Is(err, cutover.ErrUndone) || w.phase().Owner != ownership.MongoDB {
		t.Errorf("%+v %v", sum, err)
	}
}

// Everything that MongoDB acknowledged before the fence is in DynamoDB before the
// owner switches, however far behind the changes are.
func TestTheSwitchWaitsForTheChanges(t *testing.T) {
	w := shadowing(t, 200)
	_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Step: func(step string) {
		switch step {
		case cutover.StepHold:
			w.faults.with(func() {
				w.faults.deny = func(operation, table string) bool {
					return operation == "TransactWriteItems" || operation == "PutItem" && table == "users"
				}
			})
			for i := range 20 {
				if _, err := w.users.UpdateByID(w.ctx, userID(i), rename("late")); err != nil {
					t.Error(err)
				}
			}
		case cutover.StepDrain:
			time.AfterFunc(500*time.Millisecond, func() { w.faults.with(func() { w.faults.deny = nil }) })
		case cutover.StepSwitch:
			for i := range 20 {
				if got := w.nameOf(i); got != "late" {
					t.Fatalf("user %d is %q in DynamoDB when the owner switches", i, got)
				}
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
}

// Writes go on only when no instance can answer from MongoDB any more.
func TestWritesAreReleasedOnlyWhenReadsHaveMoved(t *testing.T) {
	w := shadowing(t, 20)
	m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users", Probe: anyName})
	if err != nil {
		t.Fatal(err)
	}
	inside, finish, read := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		read <- m.Read(w.ctx, func(_ context.Context, g ownership.Grant) error {
			if g.Epoch == 1 {
				close(inside)
				<-finish
			}
			return nil
		})
	}()
	<-inside
	done := make(chan error, 1)
	go func() {
		_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true})
		done <- err
	}()
	waitFor(t, func() bool { return w.phase().Owner == ownership.DynamoDB })
	w.faults.awaitRequests(t, ownership.DefaultTable, 20) // the cut-over asks whether it may
	if !w.phase().Hold {
		t.Error("writes are released while a read of MongoDB runs")
	}
	close(finish)
	for _, c := range []chan error{read, done} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if w.phase().Hold {
		t.Error("writes are still held")
	}
	if err := m.Leave(w.ctx); err != nil {
		t.Error(err)
	}
}

// A chunk that was read before its documents changed is written after the changes
// were applied: what was deleted stays deleted, what is newer stays.
func TestALateCopyRestoresNoDeletedDocument(t *testing.T) {
	var reads atomic.Int64
	w := newWorld(t, func(c *mongodbserver.Config) {
		c.Fault = func(command, namespace string) mongodbserver.Fault {
			if command == "find" && namespace == "legacy.users__banyan_g1" {
				reads.Add(1)
			}
			return mongodbserver.Fault{}
		}
	})
	w.seed(60)
	w.encapsulate()
	var once atomic.Bool
	e := w.process(&linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if is(c, "range") && strings.Contains(string(c.Body), `"copied":{"N":"20"}`) && once.CompareAndSwap(false, true) {
			waitFor(t, func() bool { return reads.Load() > 2 }) // the next chunk is read ahead
			if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(23)}}); err != nil {
				t.Error(err)
			}
			if _, err := w.users.UpdateByID(w.ctx, userID(24), rename("newer")); err != nil {
				t.Error(err)
			}
			waitFor(t, func() bool { return w.nameOf(24) == "newer" })
		}
		return linktest.Deliver
	}}, func(c *migrate.Config) { c.Limits, c.ChunkSize = backfill.NewLimits(1, 0), 20 })
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
}

// A transaction changes documents several times, at one time: the last change of each
// counts, also when the first is applied again.
func TestTheLastChangeOfATransactionCounts(t *testing.T) {
	w := shadowing(t, 20)
	named := func(i int, name string) bson.D {
		return append(bson.D{{Key: "_id", Value: userID(i)}, {Key: "name", Value: name}}, user(i)[2:]...)
	}
	session, err := w.mongo.StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(w.ctx)
	_, err = session.WithTransaction(w.ctx, func(ctx context.Context) (any, error) {
		_, err := w.users.InsertOne(ctx, user(30))
		for _, name := range []string{"one", "two"} {
			_, e := w.users.ReplaceOne(ctx, byID(30), named(30, name))
			err = errors.Join(err, e)
		}
		_, e := w.users.DeleteOne(ctx, byID(4))
		_, f := w.users.InsertOne(ctx, named(4, "again"))
		_, g := w.users.InsertOne(ctx, user(31))
		_, h := w.users.DeleteOne(ctx, byID(31))
		return nil, errors.Join(err, e, f, g, h)
	})
	if err != nil {
		t.Fatal(err)
	}
	// The first save of the changes is that they are followed, the second is of the position.
	l := &linktest.Link{Choose: at("changes", 2, linktest.KillBefore)}
	if err := w.process(l).Run(l.Context(w.ctx), migrate.RunOptions{}); err == nil || !l.Killed() {
		t.Fatal("it was not killed")
	}
	w.verified()
	w.mustBeEqual("users")
}

func byID(i int) bson.D { return bson.D{{Key: "_id", Value: userID(i)}} }
