// Package ownertest checks that a service keeps the contract of an entity's owner
// (CONTRACT.md in the folder above) in both of its databases:
//
//	func TestOwnerContract(t *testing.T) {
//		ownertest.Run(t, ownertest.Config{Plan: plan, Open: open})
//	}
//
// It plays what a migration and a network do around a service: the collection moves while
// a write is on its way, names come to mean something else, a copy or a change arrives
// late, an instance that was paused writes under an old grant. The copies and changes are
// those of the migration itself. Each rule of the contract is one subtest of its name.
//
// By default the databases are the sandbox's. With Config.MongoDB and Config.DynamoDB they
// are the service's own test servers (what a MongoDB before 6.0 cannot refuse is then not
// asked of the service): the kit works in databases whose names begin
// with "banyan_ownertest_", and creates and deletes the plan's tables.
package ownertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// Owner is what the kit does with a service's stores: it uses the one that the grant
// names. A value is some text of the entity that is not unique. An error wraps
// ownership.ErrFenced exactly when the store refused because of the grant.
type Owner interface {
	// Create makes an entity. It fails if another has one of its unique values.
	Create(ctx context.Context, g ownership.Grant, id, value string) error
	// Update replaces the value. It fails if there is no entity of that id.
	Update(ctx context.Context, g ownership.Grant, id, value string) error
	// Get returns the value; found is false if there is no entity of that id.
	Get(ctx context.Context, g ownership.Grant, id string) (value string, found bool, err error)
}

// Deleter is an Owner that can delete. The rules about deletes are skipped for others.
type Deleter interface {
	Owner
	// Delete removes an entity.
	Delete(ctx context.Context, g ownership.Grant, id string) error
}

// Config is the service to check. Plan and Open are required.
type Config struct {
	// Plan is the entity's.
	Plan *plan.Plan
	// Open makes the service's stores over two empty databases. It is called for each
	// rule, more than once for some.
	Open func(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) Owner
	// ID returns different ids for different numbers. Default: 24 hex digits.
	ID func(n int) string
	// MongoDB is the URI of a replica set to use instead of the sandbox.
	MongoDB string
	// DynamoDB is the client of a service to use instead of the sandbox.
	DynamoDB *awsdynamodb.Client
}

// Rule is one of the contract's.
type Rule struct {
	// Name is the rule's sentence in CONTRACT.md.
	Name    string
	deletes bool
	check   func(*stage) error
}

// Rules returns all rules, in the order of the contract.
func Rules() []Rule { return append(rulesOfMongoDB(), rulesOfDynamoDB()...) }

// Run checks every rule, each in a subtest.
func Run(t *testing.T, cfg Config) {
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) {
			if err := r.Check(t, cfg); err != nil {
				t.Error(err)
			}
		})
	}
}

// ruleTimeout bounds the check of one rule.
const ruleTimeout = time.Minute

// Check returns how the service breaks the rule, or nil. Where the databases themselves
// fail, and where the rule is not about this service, it ends the test.
func (r Rule) Check(t testing.TB, cfg Config) error {
	t.Helper()
	if cfg.ID == nil {
		cfg.ID = func(n int) string { return fmt.Sprintf("59b99db4cfa9a34d%08x", n) }
	}
	ctx, cancel := context.WithTimeout(t.Context(), ruleTimeout)
	defer cancel()
	s := newStage(ctx, t, cfg)
	if _, ok := s.owner.(Deleter); r.deletes && !ok {
		t.Skip("the service deletes nothing")
	}
	return r.check(s)
}
