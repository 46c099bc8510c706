package migrate_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

func stamped(i int, name string, stamps map[string]types.AttributeValue) codec.Item {
	return codec.Item{"id": &types.AttributeValueMemberS{Value: userID(i).Hex()}, "name": &types.AttributeValueMemberS{Value: name},
		codec.Reserved: &types.AttributeValueMemberM{Value: stamps}}
}

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
				_, err = w.engine().Verify(w.ctx, migrate.VerifyOptions{Repair: true})
			}
			if name != "copy" && !errors.Is(err, target.ErrServiceOwned) || name == "copy" && err != nil {
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
	sum, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		if step == migrate.StepHold {
			w.put("users", stamped(5, "tampered", map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "18446744073709551615"}}))
			if _, err := w.users.UpdateByID(w.ctx, userID(5), rename("changed")); err != nil {
				t.Error(err)
			}
		}
	}})
	if !errors.Is(err, migrate.ErrUndone) || w.phase().Owner != ownership.MongoDB {
		t.Errorf("%+v %v", sum, err)
	}
}

// Everything that MongoDB acknowledged before the fence is in DynamoDB before the
// owner switches, however far behind the changes are.
func TestTheSwitchWaitsForTheChanges(t *testing.T) {
	w := shadowing(t, 200)
	_, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		switch step {
		case migrate.StepHold:
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
		case migrate.StepDrain:
			time.AfterFunc(500*time.Millisecond, func() { w.faults.with(func() { w.faults.deny = nil }) })
		case migrate.StepSwitch:
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
	m, err := ownership.Join(w.ctx, ownership.MemberConfig{Table: w.owners, Entity: "users"})
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
		_, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{})
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
			if command == "find" && namespace == "legacy.users" {
				reads.Add(1)
			}
			return mongodbserver.Fault{}
		}
	})
	w.seed(60)
	var once bool
	e := w.engine(func(c *migrate.Config) {
		c.Workers, c.ChunkSize = 1, 20
		c.Crash = func(point string) error {
			if point != "chunk" || once {
				return nil
			}
			once = true
			waitFor(t, func() bool { return reads.Load() > 2 }) // the next chunk is read ahead
			if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(23)}}); err != nil {
				t.Error(err)
			}
			if _, err := w.users.UpdateByID(w.ctx, userID(24), rename("newer")); err != nil {
				t.Error(err)
			}
			waitFor(t, func() bool { return w.nameOf(24) == "newer" })
			return nil
		}
	})
	if err := e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
}
