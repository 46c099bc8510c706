package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/target"
)

func rename(name string) bson.D {
	return bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: name}}}, {Key: "$inc", Value: bson.D{{Key: "version", Value: int64(1)}}}}
}

// gh-ost#1684: a heartbeat moved the position past events that were not applied
// yet, and a restart lost them.
func TestGhost1684HeartbeatsDoNotOvertakeUnappliedChanges(t *testing.T) {
	w := shadowing(t, 40)
	var denied atomic.Bool
	w.faults.with(func() {
		w.faults.deny = func(operation, table string) bool {
			deny := table == "users" && (operation == "PutItem" || operation == "TransactWriteItems")
			denied.CompareAndSwap(false, deny)
			return deny
		}
	})
	crash := false
	var mu sync.Mutex
	e := w.engine(func(c *migrate.Config) {
		c.Crash = func(string) error {
			mu.Lock()
			defer mu.Unlock()
			if crash {
				return errors.New("killed")
			}
			return nil
		}
	})
	run := background(w.ctx, func(ctx context.Context) error { return e.Run(ctx, migrate.RunOptions{}) })
	if _, err := w.users.UpdateByID(w.ctx, userID(1), rename("while the target is away")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, denied.Load)
	w.faults.awaitRequests(t, ownership.DefaultTable, 12) // several heartbeats and saves of the position
	mu.Lock()
	crash = true
	mu.Unlock()
	_ = run() // killed
	w.faults.with(func() { w.faults.deny = nil })
	if v := w.verified(); v.Mismatches != 0 {
		t.Errorf("%+v", v)
	}
	w.mustBeEqual("users")
}

// gh-ost#1769: a dry run reset the progress of the real one.
func TestGhost1769ADryRunTouchesNothing(t *testing.T) {
	w := shadowing(t, 40)
	before, names := w.scan(ownership.DefaultTable), w.collections()
	sum, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{DryRun: true})
	if err != nil || sum.Step != migrate.StepPossible {
		t.Fatalf("%+v %v", sum, err)
	}
	if after := w.scan(ownership.DefaultTable); !reflect.DeepEqual(before, after) || names != w.collections() {
		t.Errorf("a dry run changed the control table or the collections")
	}
}

func (w *world) collections() string {
	names, err := w.db.ListCollectionNames(w.ctx, bson.D{})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(names)
}

// vitess#16563: the position to drain to was taken before writes were refused,
// so what came between was lost.
func TestVitess16563WritesUpToTheFenceAreDrained(t *testing.T) {
	w := shadowing(t, 40)
	_, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{Step: func(step string) {
		if step == migrate.StepFence {
			if _, err := w.users.UpdateByID(w.ctx, userID(2), rename("at the last moment")); err != nil {
				t.Error(err)
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.mustBeEqual("users")
}

// vitess#19680: a context that was cancelled after the point of no return left
// the switch half done.
func TestVitess19680ACancelledContextDoesNotStopASwitch(t *testing.T) {
	w := shadowing(t, 40)
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()
	sum, err := w.engine().Cutover(ctx, migrate.CutoverOptions{Step: func(step string) {
		if step == migrate.StepRelease {
			cancel()
		}
	}})
	if err != nil || sum.Step != migrate.StepDone {
		t.Errorf("%+v %v", sum, err)
	}
	if r := w.phase(); r.Hold || r.Owner != ownership.DynamoDB {
		t.Errorf("%+v", r)
	}
}

// vitess#14323: only a sample of the mismatches was reported.
func TestVitess14323EveryMismatchIsReportedAndRepaired(t *testing.T) {
	w := shadowing(t, 400)
	for i := range 150 {
		item := codec.Item{"id": &types.AttributeValueMemberS{Value: userID(i).Hex()}, "name": &types.AttributeValueMemberS{Value: "tampered"}}
		w.put("users", item)
	}
	w.put("users", codec.Item{"id": &types.AttributeValueMemberS{Value: userID(7777).Hex()}})
	w.put("users-unique", codec.Item{"value": &types.AttributeValueMemberS{Value: "email#nobody@example.com"},
		"owner": &types.AttributeValueMemberS{Value: userID(3).Hex()}})
	found := map[string]bool{}
	v, err := w.engine().Verify(w.ctx, migrate.VerifyOptions{Report: func(m target.Mismatch) { found[m.ID+m.Kind] = true }})
	if err != nil || len(found) < 152 || v.Mismatches < 152 {
		t.Fatalf("%d found, %+v, %v", len(found), v, err)
	}
	if _, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{}); !errors.Is(err, migrate.ErrRefused) {
		t.Errorf("cut over with mismatches: %v", err)
	}
	v, err = w.engine().Verify(w.ctx, migrate.VerifyOptions{Repair: true})
	if err != nil || v.Mismatches != 0 || v.Repaired < 152 {
		t.Fatalf("repair: %+v, %v", v, err)
	}
	w.verified()
	w.mustBeEqual("users")
}

func (w *world) put(table string, item codec.Item) {
	w.t.Helper()
	if _, err := w.ddb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		w.t.Fatal(err)
	}
}

// migration-verifier#53: a target that was changed after a clean check passed
// for checked.
func TestVerifier53ACleanCheckExpiresAndChangedKeysAreCheckedAgain(t *testing.T) {
	w := shadowing(t, 40)
	w.put("users", codec.Item{"id": &types.AttributeValueMemberS{Value: userID(5).Hex()}, "name": &types.AttributeValueMemberS{Value: "tampered"},
		codec.Reserved: &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"t": &types.AttributeValueMemberN{Value: "18446744073709551615"}}}})
	if _, err := w.users.UpdateByID(w.ctx, userID(5), rename("changed")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{}); !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), userID(5).Hex()) {
		t.Errorf("cut over with a document that differs: %v", err)
	}
	w.plan.Budgets.Verification = time.Nanosecond
	if _, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{}); !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), "old") {
		t.Errorf("cut over with an expired verification: %v", err)
	}
}

// ghostferry#217: a verification after a resume reported what was merely on its
// way. dsync: keys left unprocessed by a batch were taken for handled.
func TestGhostferry217NoFalseMismatchUnderTrafficAfterAResume(t *testing.T) {
	w := newWorld(t)
	w.seed(400)
	small := func(c *migrate.Config) { c.RangeSize, c.ChunkSize = 100, 20 }
	w.engine()
	tr := w.startTraffic(2, 400, 5)
	defer tr.end()
	if err := w.engine(small, crashOnce("chunk", 6)).Run(w.ctx, migrate.RunOptions{}); err == nil {
		t.Fatal("it did not crash")
	}
	run := background(w.ctx, func(ctx context.Context) error { return w.engine(small).Run(ctx, migrate.RunOptions{}) })
	waitFor(t, func() bool { return w.phase().Phase == ownership.Shadowing })
	w.faults.with(func() { w.faults.partial = 0.15 })
	for range 2 {
		w.verified()
	}
	w.faults.with(func() { w.faults.partial = 0 })
	if err := run(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	st, err := w.engine().Status(w.ctx)
	if err != nil || st.Copied.Done != st.Copied.Ranges || st.Copied.Documents < 300 || st.Copied.Documents > 900 {
		t.Errorf("progress after a resume: %+v %v", st.Copied, err)
	}
}

// A late writer is a process that was paused before it sent a write and does not know of
// the cut-over. What MongoDB acknowledged to it must be in the target; after the fence
// MongoDB must refuse it.
func TestALateWritersAcknowledgedWritesAreKeptAndLaterOnesRefused(t *testing.T) {
	w := shadowing(t, 100)
	w.plan.Budgets.Tail = 20_000
	late := w.startLateWriters(3, 200*time.Microsecond)
	sum, err := w.engine(func(c *migrate.Config) { c.Lease = 10 * time.Second }).Cutover(w.ctx, migrate.CutoverOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return late.refused.Load() > 3 })
	acknowledged := late.stopAll()
	items := map[string]bool{}
	for _, item := range w.scan("users") {
		items[item["id"].(*types.AttributeValueMemberS).Value] = true
	}
	for id := range acknowledged {
		if !items[id] {
			t.Errorf("an acknowledged write is lost: %s", id)
		}
	}
	w.mustBeEqual(append([]string{"users__banyan_e1"}, w.recreated()...)...)
	t.Logf("%d acknowledged, %d refused, %d collections recreated, held %d ms", len(acknowledged), late.refused.Load(), sum.Recreated, sum.Held)
}

func TestOutOfBandWritesStopACutover(t *testing.T) {
	w := shadowing(t, 40)
	if _, err := w.users.UpdateByID(w.ctx, userID(4), bson.D{{Key: "$set", Value: bson.D{{Key: "name", Value: "past the service"}}}}); err != nil {
		t.Fatal(err)
	}
	w.verified()
	if _, err := w.engine().Cutover(w.ctx, migrate.CutoverOptions{}); !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), userID(4).Hex()) {
		t.Errorf("%v", err)
	}
}

func TestATableWithAnotherKeyOrAnOutOfBandItemIsRefused(t *testing.T) {
	w := newWorld(t)
	w.seed(10)
	in := w.plan.TableInputs()[1]
	name := "users"
	in.TableName = &name
	if _, err := w.ddb.CreateTable(w.ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("%v", err)
	}
	if _, err := w.ddb.DeleteTable(w.ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ddb.CreateTable(w.ctx, w.plan.TableInputs()[0]); err != nil {
		t.Fatal(err)
	}
	w.put("users", codec.Item{"id": &types.AttributeValueMemberS{Value: userID(5).Hex()}})
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); !errors.Is(err, target.ErrOutOfBand) {
		t.Errorf("%v", err)
	}
}

// A document that was deleted while it was being copied stays deleted, and a
// copy begun afresh finds deletes that it could not follow.
func TestFromStartReplacesAndRepairFindsWhatWasDeletedUnseen(t *testing.T) {
	w := shadowing(t, 60)
	if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(9)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.users.UpdateByID(w.ctx, userID(8), rename("unseen")); err != nil {
		t.Fatal(err)
	}
	if err := w.engine().Run(w.ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	v, err := w.engine().Verify(w.ctx, migrate.VerifyOptions{Repair: true})
	if err != nil || v.Repaired == 0 || v.Mismatches != 0 {
		t.Fatalf("%+v %v", v, err)
	}
	w.mustBeEqual("users")
}

func TestALostPositionStopsTheRunAndACopyFromTheStartRepairs(t *testing.T) {
	w := newWorld(t, func(c *mongodbserver.Config) { c.OplogEntries = 100 })
	w.seed(50)
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // nobody follows meanwhile
		if _, err := w.users.UpdateByID(w.ctx, userID(i%50), rename(fmt.Sprint("unseen ", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: userID(7)}}); err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		if _, err := w.users.UpdateByID(w.ctx, userID(40+i%10), rename(fmt.Sprint("later ", i))); err != nil {
			t.Fatal(err)
		}
	}
	err := w.engine().Run(w.ctx, migrate.RunOptions{})
	if !errors.Is(err, migrate.ErrHistoryLost) || !strings.Contains(err.Error(), "--from-start") {
		t.Fatalf("%v", err)
	}
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true, FromStart: true}); err != nil {
		t.Fatal(err)
	}
	v, err := w.engine().Verify(w.ctx, migrate.VerifyOptions{Repair: true})
	if err != nil || v.Mismatches != 0 || v.Repaired == 0 {
		t.Fatalf("%+v %v", v, err)
	}
	w.mustBeEqual("users")
}
