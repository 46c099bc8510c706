package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/social/plans"
)

const ordersPlan = `entity: orders
source: {database: shop, collection: orders}
target: {table: orders}
versionField: version
switchAfter: [users]
budgets: {hold: 30s, lag: 1m}
`

// withOrders adds orders, in another database, that are switched after the users, and lost ones
// that nobody has encapsulated. BANYAN_PLAN is then the directory of the plans.
func withOrders(t *testing.T) (users, orders string) {
	t.Helper()
	s := start(t)
	s.seed(20)
	db := s.db.Client().Database("shop")
	for _, name := range []string{"orders", "lost"} {
		for range 10 {
			if _, err := db.Collection(name).InsertOne(t.Context(), bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "version", Value: int64(1)}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	users, orders = filepath.Join(dir, "z-users.yaml"), filepath.Join(dir, "a-orders.yaml")
	for file, text := range map[string]string{users: strings.Replace(string(plans.Users), "700ms", "30s\n  lag: 1m", 1), orders: ordersPlan,
		filepath.Join(dir, "lost.yaml"): strings.NewReplacer("orders", "lost", "switchAfter: [users]", "").Replace(ordersPlan)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("BANYAN_PLAN", dir)
	expect(t, 0, "", "init")
	for _, file := range []string{users, orders} {
		expect(t, 0, "", "encapsulate --watch 1ms --no-members --accept-gap --plan "+file)
	}
	return users, orders
}

// TestSeveralEntitiesRunInOneProcess: one that fails stops none of the others, and the exit code
// tells that it did.
func TestSeveralEntitiesRunInOneProcess(t *testing.T) {
	users, _ := withOrders(t)
	h := newHookDir(t)
	h.write("phase-shadowing", "")
	expect(t, 0, "", "pause --plan "+users)
	// One that pauses leaves the only slot to the others.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var errs strings.Builder
	var resume sync.Once
	out := &watching{text: "orders: shadowing, 10", then: func() { resume.Do(func() { expect(t, 0, "", "resume --plan "+users) }) }}
	code := newCommand().Execute(ctx, []string{"run", "--until", "shadowing", "--workers", "1"}, out, &errs)
	stdout, stderr := out.String(), errs.String()
	if code != exitRefused || !strings.Contains(stdout, "users: shadowing, 20 documents copied") ||
		!strings.Contains(stdout, "orders: shadowing, 10 documents copied") || strings.Count(stderr, "lost: the collection is not encapsulated") != 2 {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if seen := h.seen(); !strings.Contains(seen, "BANYAN_ENTITY=users\n") || !strings.Contains(seen, "BANYAN_ENTITY=orders\n") {
		t.Errorf("hooks saw\n%s", seen)
	}
	code, stdout, _ = command(t, "run", "--until", "shadowing", "--json")
	if e := lastError(t, stdout); code != exitRefused || e.Code != "refused" || !strings.Contains(stdout, `{"error":{"entity":"lost","code":"refused"`) {
		t.Errorf("exit %d\n%s", code, stdout)
	}
	code, stdout, stderr = command(t, "status")
	table := strings.Join(strings.Fields(stdout), " ")
	for _, want := range []string{"ENTITY PHASE OWNER", "lost legacy mongodb 0 of 0", "users shadowing mongodb 20 of 20", "orders shadowing mongodb 10 of 10",
		"users: refused now: nothing was verified yet", "orders: refused now: the plan's switchAfter names the entity users, whose phase is shadowing"} {
		if code != 0 || !strings.Contains(table, want) {
			t.Fatalf("exit %d, %q is missing in\n%s%s", code, want, stdout, stderr)
		}
	}
	expect(t, 0, `"entity":"orders","owner":"mongodb"`, "status --json")
	expect(t, 2, "which only run and status take", "verify")
	expect(t, 0, "0 mismatches", "verify --plan "+users)

	stopped, interrupt := context.WithCancel(t.Context())
	last := &watching{text: `"entity":"orders","phase":"shadowing"`, then: interrupt}
	if code := newCommand().Execute(stopped, []string{"run", "--json"}, last, &strings.Builder{}); code != exitRefused { // of what was lost
		t.Errorf("exit %d\n%s", code, last)
	}
}

// TestEntitiesAreSwitchedInTheOrderOfTheirPlans: and rolled back in the opposite one.
func TestEntitiesAreSwitchedInTheOrderOfTheirPlans(t *testing.T) {
	users, orders := withOrders(t)
	for _, file := range []string{users, orders} {
		expect(t, 0, "", "run --until shadowing --plan "+file)
		expect(t, 0, "", "verify --plan "+file)
	}
	const quick = " --no-members --watch 0s --plan "
	expect(t, exitRefused, "switchAfter names the entity users, whose phase is shadowing", "cutover"+quick+orders)
	expect(t, 0, "", "cutover"+quick+users)
	expect(t, 0, "", "cutover"+quick+orders)
	expect(t, 0, "", "verify --plan "+users)
	expect(t, exitRefused, "the entity orders was switched after this one", "rollback"+quick+users)
	expect(t, 0, "", "verify --plan "+orders)
	expect(t, 0, "", "rollback"+quick+orders)
	expect(t, 0, "", "rollback"+quick+users)
}
