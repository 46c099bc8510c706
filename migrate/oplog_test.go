package migrate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	mongodbserver "github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Status says how long the position of the changes stays in the oplog, warns where little is
// left, since a run that is down for longer has to copy afresh, and says when it has left.
func TestStatusSaysHowLongTheOplogHoldsTheChanges(t *testing.T) {
	mongodbtest.Lacks(t, "SecantusDB", "lets nobody write to its oplog")
	w := shadowing(t, 20)
	e := w.engine()
	s, err := e.Status(w.ctx)
	if err != nil || s.OplogLeft != nil {
		t.Fatalf("without an oplog that can be read: %v, %v", s.OplogLeft, err)
	}
	oplog := w.mongo.Database("local").Collection("oplog.rs")
	for _, tc := range []struct {
		hours             int
		warnings, problem bool
	}{{7, false, false}, {5, true, false}, {-1, false, true}} {
		began := time.Now().Add(time.Duration(-tc.hours) * time.Hour)
		if _, err := oplog.DeleteMany(w.ctx, bson.D{}); err != nil {
			t.Fatal(err)
		}
		if _, err := oplog.InsertOne(w.ctx, bson.D{{Key: "ts", Value: bson.Timestamp{T: uint32(began.Unix())}}}); err != nil {
			t.Fatal(err)
		}
		s, err := e.Status(w.ctx)
		if err != nil || s.OplogLeft == nil || (*s.OplogLeft-time.Duration(tc.hours)*time.Hour).Abs() > time.Hour {
			t.Fatalf("with an oplog of %d hours: %v, %v", tc.hours, s.OplogLeft, err)
		}
		if problem := slices.Contains(s.Problems, changes.ErrHistoryLost.Error()); len(s.Warnings) > 0 != tc.warnings || problem != tc.problem {
			t.Errorf("with an oplog of %d hours: %q %q", tc.hours, s.Warnings, s.Problems)
		}
	}
}

// shortOplog is an oplog that is soon overwritten.
func shortOplog(c *mongodbserver.Config) { c.OplogEntries = 300 }

// missed changes the collection in every way while nobody follows, and until the oplog has
// forgotten that.
func (w *world) missed() {
	w.t.Helper()
	must := func(_ any, err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	remove := func(i int) { w.t.Helper(); must(w.users.DeleteOne(w.ctx, byID(i))) }
	insert := func(i, email int) {
		w.t.Helper()
		doc := user(i)
		doc[2].Value = fmt.Sprintf("u%d@example.com", email)
		must(w.users.InsertOne(w.ctx, doc))
	}
	must(w.users.UpdateByID(w.ctx, userID(8), rename("unseen")))
	remove(9)       // and nobody has its e-mail
	remove(10)      // whose e-mail goes to a new one
	insert(900, 10) // which nobody saw
	remove(11)
	remove(12)
	insert(11, 12) // two swap theirs
	insert(12, 11)
	insert(20, 20)   // of which there is a tombstone
	insert(901, 901) // it never was, for whoever looks later
	remove(901)
	for i := range 400 {
		must(w.users.UpdateByID(w.ctx, userID(30+i%10), rename(fmt.Sprint("later ", i))))
	}
}

// TestALostOplogWindowEndsInACopyThatIsEqual: once the oplog no longer holds what has not been
// followed, the copy and its verifications do not count, which is stored and shown. One command
// makes them right, also of what was deleted unseen, without a repair, also behind a rollback.
func TestALostOplogWindowEndsInACopyThatIsEqual(t *testing.T) {
	t.Parallel()
	mongodbtest.Lacks(t, "SecantusDB", "accepts a startAtOperationTime from before its oplog")
	for name, rolledBack := range map[string]bool{"before a switch": false, "behind a rollback": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, shortOplog)
			w.seed(60)
			w.encapsulate()
			if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
				t.Fatal(err)
			}
			if rolledBack {
				w.thereAndBack()
			}
			if _, err := w.users.DeleteOne(w.ctx, byID(20)); err != nil {
				t.Fatal(err)
			}
			w.verified()
			w.missed()
			w.mustHaveEnded()
			if err := w.engine().Run(w.ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true}); err != nil {
				t.Fatal(err)
			}
			w.mustBeEqual(w.users.Name())
			if st, err := w.engine().Status(w.ctx); err != nil || st.Verification == nil || st.Verification.Mismatches != 0 || st.Ended != "" {
				t.Errorf("%+v %v", st, err)
			}
			if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
				t.Errorf("%+v %v", sum, err)
			}
		})
	}
}

// thereAndBack changes the owner twice, and writes in the epoch of DynamoDB's.
func (w *world) thereAndBack() {
	w.t.Helper()
	w.verified()
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	g := ownership.Grant{Owner: ownership.DynamoDB, Epoch: w.phase().Epoch}
	for i := 5; i < 25; i++ {
		if err := w.renames(g, i, "by the service"); err != nil {
			w.t.Fatal(err)
		}
	}
	w.verified()
	if sum, err := w.rollBack(); err != nil || sum.Step != cutover.StepDone {
		w.t.Fatalf("%+v %v", sum, err)
	}
	w.follow()
}

// mustHaveEnded checks that a run says that the oplog was lost, and everything after it too.
func (w *world) mustHaveEnded() {
	w.t.Helper()
	for i, want := range []error{changes.ErrHistoryLost, control.ErrEnded} {
		if err := w.engine().Run(w.ctx, migrate.RunOptions{}); !errors.Is(err, want) || !strings.Contains(err.Error(), "--from-start") {
			w.t.Fatalf("run %d: %v", i, err)
		}
	}
	st, err := w.engine().Status(w.ctx)
	if err != nil || !strings.Contains(st.Ended, "oplog") || !slices.Contains(st.Problems, st.Ended) {
		w.t.Errorf("status: %q %q %v", st.Ended, st.Problems, err)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err, cutover.ErrRefused) {
		w.t.Errorf("cutover: %v", err)
	}
}
