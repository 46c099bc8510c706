package migrate_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/matrix"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/binding"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/fence"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
	"github.com/banyan-fig/banyan/migrate/verify"
	"github.com/banyan-fig/banyan/services/social/plans"
)

// verbs are all that an operator can call, by name. Those of giveUp end a migration or
// begin it again, for whatever reason.
func verbs(ctx context.Context, e *migrate.Engine, giveUp bool) map[string]error {
	all := map[string]error{}
	_, all["encapsulate"] = e.Encapsulate(ctx, willing)
	all["run"] = e.Run(ctx, migrate.RunOptions{UntilShadowing: true})
	_, all["verify"] = e.Verify(ctx, verify.Options{Repair: true})
	_, all["cutover"] = e.Cutover(ctx, cutover.Options{NoMembers: true})
	_, all["strays"] = e.Strays(ctx, func(fence.StrayDocument) error { return nil })
	all["discard"] = e.Discard(ctx, "users__banyan_stray_g9")
	all["pause"], all["resume"], all["throttle"] = e.Pause(ctx), e.Resume(ctx), e.SetThrottle(ctx, migrate.Throttle{PerSecond: 1})
	if giveUp {
		all["run --from-start"] = e.Run(ctx, migrate.RunOptions{UntilShadowing: true, FromStart: true})
		_, all["abandon"] = e.Abandon(ctx)
	}
	st, err := e.Status(ctx)
	if all["status"] = err; err == nil && len(st.Problems) > 0 {
		all["status"] = errors.New(st.Problems[0])
	}
	return all
}

// tables are the contents of all tables of a DynamoDB.
func (w *world) tables(ddb *dynamodb.Client) map[string]any {
	w.t.Helper()
	out, err := ddb.ListTables(w.ctx, &dynamodb.ListTablesInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]any{}
	for _, name := range out.TableNames {
		items, err := ddb.Scan(w.ctx, &dynamodb.ScanInput{TableName: &name})
		if err != nil {
			w.t.Fatal(err)
		}
		all[name] = items.Items
	}
	return all
}

// mustRefuse checks that every verb refuses with a sentence that says all of says, and that
// nothing was written.
func (w *world) mustRefuse(e *migrate.Engine, ddb *dynamodb.Client, giveUp bool, says ...string) {
	w.t.Helper()
	before, other, collections := w.tables(w.ddb), w.tables(ddb), w.collections()
	for verb, err := range verbs(w.ctx, e, giveUp) {
		for _, want := range says {
			if err == nil || !strings.Contains(err.Error(), want) {
				w.t.Errorf("%s says %v, and not %q", verb, err, want)
			}
		}
	}
	if !reflect.DeepEqual(before, w.tables(w.ddb)) || !reflect.DeepEqual(other, w.tables(ddb)) || collections != w.collections() {
		w.t.Error("something was written")
	}
}

// edited is the plan with a piece of its text replaced.
func edited(t *testing.T, pairs ...string) func(*migrate.Config) {
	t.Helper()
	text := strings.NewReplacer(pairs...).Replace(string(plans.Users))
	if text == string(plans.Users) {
		t.Fatal("nothing was edited")
	}
	p, err := plan.Parse("users.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p.Budgets.Hold, p.Budgets.Lag = longHold, time.Minute
	return func(c *migrate.Config) { c.Plan = p }
}

// The switch went to an empty table that a plan named since the verification.
func TestAPlanThatWasEditedIsRefusedByEveryVerb(t *testing.T) {
	t.Parallel()
	drawn, i := matrix.Some(2, 5), -1
	for name, c := range map[string]struct{ old, new, says string }{
		"table":       {"table: users\n", "table: users2\n", "target.table: users -> users2"},
		"key":         {"attribute: id", "attribute: uid", "target.key.attribute: (not set) -> uid"},
		"field":       {"{from: bio, type: string}", "{from: bio, type: string, to: about}", "fields.bio.to: (not set) -> about"},
		"fewer field": {"  - {from: bio, type: string}\n", "", "fields.bio.type: string -> (not set)"},
		"unique":      {"table: users-unique", "table: users-mails", "unique.email.table: users-unique -> users-mails"},
	} {
		i++
		t.Run(name, func(t *testing.T) {
			drawn.Skip(t, i)
			w := shadowing(t, 20)
			w.mustRefuse(w.bare(edited(t, c.old, c.new)), w.ddb, false, c.says, "put the plan back", "--from-start")
			w.verified() // with the plan as it was
			w.mustRefuse(w.bare(edited(t, c.old, c.new)), w.ddb, false, c.says)
			if sum, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
				t.Errorf("with the plan put back: %+v %v", sum, err)
			}
			w.mustBeEqual("users")
		})
	}
}

// bare is an engine of which the control table is not created.
func (w *world) bare(change ...func(*migrate.Config)) *migrate.Engine {
	w.t.Helper()
	cfg := migrate.Config{Plan: w.plan, Mongo: w.mongo, Dial: w.dial(nil), Database: w.db.Name(), DynamoDB: w.ddb, Streams: streamsOf(w.ddb)}
	for _, c := range change {
		c(&cfg)
	}
	e, err := migrate.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// A plan that was edited for good begins again.
func TestAPlanThatWasEditedBeginsAgainFromTheStart(t *testing.T) {
	w := shadowing(t, 20)
	change := edited(t, "table: users\n", "table: users2\n", "table: users-unique", "table: users2-unique")
	if err := w.engine(change).Run(w.ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	if v, err := w.engine(change).Verify(w.ctx, verify.Options{}); err != nil || v.Mismatches > 0 {
		t.Fatalf("%+v %v", v, err)
	}
	if _, err := w.engine(change).Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Fatal(err)
	}
	if n := len(w.scan("users2")); n != 20 {
		t.Errorf("%d items", n)
	}
}

func TestEditedBudgetsAreTheSamePlan(t *testing.T) {
	w := shadowing(t, 20)
	e := w.bare(edited(t, "hold: 700ms", "hold: 900ms\n  verification: 2h"))
	if _, err := e.Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// A plan that was copied for another collection, with the entity left as it was, fenced the
// wrong collection. Not even giving up is right for it.
func TestACopiedPlanWithTheOldEntityIsRefusedByEveryVerb(t *testing.T) {
	w := shadowing(t, 20)
	if _, err := w.db.Collection("orders").InsertOne(w.ctx, bson.D{{Key: "_id", Value: userID(1)}}); err != nil {
		t.Fatal(err)
	}
	w.mustRefuse(w.bare(edited(t, "collection: users", "collection: orders", "table: users\n", "table: orders\n")), w.ddb, true,
		"users", "orders", "source.collection")
	w.mustRefuse(w.bare(edited(t, "entity: users", "entity: people")), w.ddb, true, `migrated as entity "users"`, `"people"`)
	w.mustStand()
}

// Two control tables, or a wrong region: a plain run took the other's fence away, and both
// stores were written.
func TestAnotherControlTableOrRegionIsRefusedByEveryVerb(t *testing.T) {
	w := shadowing(t, 20)
	server := httptest.NewServer(dynamodbserver.New(dynamodbserver.Config{Region: "eu-west-1"}))
	t.Cleanup(server.Close)
	elsewhere := dynamodb.New(w.ddb.Options(), func(o *dynamodb.Options) { o.Region, o.BaseEndpoint = "eu-west-1", &server.URL })
	region := func(c *migrate.Config) { c.DynamoDB = elsewhere }
	second := func(c *migrate.Config) { c.ControlTable = "banyan-control-2" }
	says := []string{"arn:aws:dynamodb:us-east-1:000000000000:table/banyan-control", "AWS_REGION", "--control"}
	for _, created := range []bool{false, true} {
		for name, c := range map[string]struct {
			change func(*migrate.Config)
			ddb    *dynamodb.Client
			table  string
		}{"region": {region, elsewhere, ""}, "control table": {second, w.ddb, "banyan-control-2"}} {
			if created {
				if err := ownership.NewTable(c.ddb, c.table).Ensure(w.ctx); err != nil {
					t.Fatal(err)
				}
			}
			e := w.bare(c.change)
			if err := e.Init(w.ctx); !errors.Is(err, binding.ErrDiffers) {
				t.Errorf("another %s: init says %v", name, err)
			}
			w.mustRefuse(e, c.ddb, true, says...)
		}
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); err != nil {
		t.Error(err)
	}
	w.mustBeEqual("users")
}

// A table that was deleted and created again is empty, whatever was verified.
func TestATableThatWasCreatedAgainIsRefusedByEveryVerb(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"users", "users-unique"} {
		t.Run(name, func(t *testing.T) {
			w := shadowing(t, 20)
			if _, err := w.ddb.DeleteTable(w.ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
				t.Fatal(err)
			}
			w.mustRefuse(w.bare(), w.ddb, false, name, "does not exist", "--from-start")
			if _, err := w.ddb.CreateTable(w.ctx, w.plan.TableInputs()[i]); err != nil {
				t.Fatal(err)
			}
			w.mustRefuse(w.bare(), w.ddb, false, name, "deleted and created again", "--from-start")
			if _, err := w.engine().Verify(w.ctx, verify.Options{}); !errors.Is(err, target.ErrReplaced) {
				t.Error(err)
			}
			if err := w.engine().Run(w.ctx, migrate.RunOptions{FromStart: true, UntilShadowing: true}); err != nil {
				t.Fatal(err)
			}
			w.verified()
			w.mustBeEqual("users")
		})
	}
}
