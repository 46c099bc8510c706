package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// stranger is a program of somebody else's, which knows the collection by a name.
func (w *world) stranger(application, collection string) *mongo.Collection {
	w.t.Helper()
	client, err := w.dial(nil)(application, "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = client.Disconnect(ctx)
	})
	return client.Database(w.db.Name()).Collection(collection)
}

// touch is a write that sets the version field, as the service's would.
var touch = bson.D{{Key: "$inc", Value: bson.D{{Key: "version", Value: 1}}}}

// meanwhile repeats what a stranger, who is connected, does while fn runs.
func meanwhile(t *testing.T, does func(ctx context.Context) error, fn func()) {
	t.Helper()
	if err := does(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := background(t.Context(), func(ctx context.Context) error {
		for pause(ctx, time.Millisecond) == nil {
			if err := does(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
		return nil
	})
	fn()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// A program that writes past the service is named, and nothing is touched; once it was not
// seen for the plan's window, the encapsulation goes through.
func TestEncapsulateIsRefusedWhileOthersWrite(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "has no filter for its profiler, and lists no operations of others")
	w := newWorld(t)
	w.seed(3)
	cron := w.stranger("cron", "users")
	opts := willing
	opts.Watch = time.Second
	meanwhile(t, func(ctx context.Context) error {
		_, err := cron.UpdateByID(ctx, userID(1), touch)
		return err
	}, func() {
		_, err := w.engine().Encapsulate(w.ctx, opts)
		if !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), `"cron" from 127.0.0.1 on `) {
			t.Errorf("%v", err)
		}
	})
	if rec := w.phase(); rec.Collection != "" || rec.Move != nil || rec.Generation != 0 {
		t.Errorf("%+v", rec)
	}
	if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, migrate.ErrRefused) {
		t.Errorf("a moment later: %v", err)
	}
	w.plan.Gate.Window = time.Nanosecond
	w.encapsulate()
}

// Readers are let pass or refused, as the plan says; they find out who they are by name.
func TestReadersAreLetPassOrRefused(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "has no filter for its profiler, and lists no operations of others")
	w := newWorld(t)
	w.seed(3)
	report := w.stranger("report", "users")
	meanwhile(t, func(ctx context.Context) error { return report.FindOne(ctx, bson.D{}).Err() }, func() {
		c, err := w.engine().Clients(w.ctx, time.Second)
		if err != nil || len(c.Seen) != 1 || c.Seen[0].Application != "report" || c.Seen[0].Reads == 0 || len(c.Refusals) > 0 || len(c.Warnings) != 1 {
			t.Errorf("%+v %v", c, err)
		}
	})
	w.plan.Gate.Reads = "refuse"
	if _, err := w.engine().Encapsulate(w.ctx, willing); !errors.Is(err, migrate.ErrRefused) || !strings.Contains(err.Error(), `"report"`) {
		t.Errorf("%v", err)
	}
	w.plan.Gate.Reads = "warn"
	w.encapsulate()
}

// A program that was told the physical name is in the way of a cut-over, seen by whichever
// verb. The cut-over that goes through says who ran it, and on which evidence.
func TestACutoverIsRefusedAfterOthersWrote(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "has no filter for its profiler, and lists no operations of others")
	w := shadowing(t, 10)
	cron := w.stranger("cron", w.phase().Collection)
	meanwhile(t, func(ctx context.Context) error {
		_, err := cron.UpdateByID(ctx, userID(1), touch)
		return err
	}, func() {
		_, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Watch: time.Second})
		if !errors.Is(err, cutover.ErrRefused) || !strings.Contains(err.Error(), `"cron" from 127.0.0.1`) {
			t.Errorf("%v", err)
		}
	})
	if rec := w.phase(); rec.Phase != ownership.Shadowing || rec.Generation != 1 {
		t.Errorf("%+v", rec)
	}
	st, err := w.engine().Status(w.ctx)
	if err != nil || !strings.Contains(strings.Join(st.Problems, "\n"), `"cron"`) {
		t.Errorf("%q %v", st.Problems, err)
	}
	w.plan.Gate.Window = time.Nanosecond
	w.verified()
	sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true, Watch: 100 * time.Millisecond})
	if err != nil || sum.By == "" || len(sum.Evidence) != 1 || !strings.Contains(sum.Evidence[0], "by profiler") {
		t.Errorf("%+v %v", sum, err)
	}
	if st, err := w.engine().Status(w.ctx); err != nil || st.Cutover == nil || len(st.Cutover.Evidence) != 1 {
		t.Errorf("what was stored: %+v %v", st.Cutover, err)
	}
}

// What a gate that was killed has left of the profiler's settings, the next verb puts right.
func TestVerbsRestoreProfilers(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "has no filter for its profiler")
	w := shadowing(t, 3)
	hello, err := mongoserver.AskHello(w.ctx, w.db)
	if err != nil {
		t.Fatal(err)
	}
	rows := control.New(w.ddb, ownership.DefaultTable, "users")
	for i, verb := range []func(*migrate.Engine) error{
		func(e *migrate.Engine) error { return e.Run(w.ctx, migrate.RunOptions{UntilShadowing: true}) },
		func(e *migrate.Engine) error { _, err := e.Abandon(w.ctx); return err },
	} {
		marker := fmt.Sprint("banyan-gate users ", i)
		row, err := rows.Profiler(w.ctx, marker)
		if err != nil {
			t.Fatal(err)
		}
		row.Host, row.Database, row.Until = hello.Members()[0], w.db.Name(), time.Now().Add(-time.Hour)
		if err := rows.Save(w.ctx, row); err != nil {
			t.Fatal(err)
		}
		left := bson.D{{Key: "profile", Value: 1}, {Key: "filter", Value: bson.D{{Key: "command.comment", Value: marker}}}}
		if err := w.db.RunCommand(w.ctx, left).Err(); err != nil {
			t.Fatal(err)
		}
		if err := verb(w.engine()); err != nil {
			t.Fatal(err)
		}
		now, err := w.db.RunCommand(w.ctx, bson.D{{Key: "profile", Value: -1}}).Raw()
		if err != nil || now.Lookup("was").Int32() != 0 || !now.Lookup("filter").IsZero() {
			t.Errorf("verb %d: %s %v", i, now, err)
		}
	}
}
