// Package entitytest holds the store of an entity, package entity with both of its backends, to
// its promises, for the documents of a plan:
//
//	func TestStore(t *testing.T) {
//		entitytest.Run(t, entitytest.Config{Plan: plan})
//	}
//
// The cases are run with MongoDB as the owner, with DynamoDB, and across changes of the owner:
// what a case has begun while MongoDB owned goes on behind a cut-over, and behind a rollback, both
// made by the migration. [Faults] has the same store under random operations of several processes,
// whose network, clocks and databases fail; a failure names the seed to run it with again.
//
// With Config.Through the cases are run through a server of the store, and its client.
//
// By default the databases are the sandbox's. With Config.MongoDB and Config.DynamoDB they are
// your own test servers: the suite works in databases whose names begin with
// "banyan_entitytest_", and creates and deletes the plan's tables, and "banyan-entitytest-control".
package entitytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
)

// Loans are what people have borrowed from a library, with all that a plan can say.
const Loans = `
entity: loans
source: {collection: loans}
target: {table: loans, key: {attribute: id, from: _id, type: objectId}}
unique:
  - {field: ticket, table: loans-tickets}
  - {field: email, collation: lower, table: loans-emails}
  - {fields: [branch, shelf], table: loans-shelves}
  - {field: copy, where: [{field: state, equals: out}], table: loans-copies}
indexes:
  - {name: by-reader, key: [reader, due]}
  - {name: by-genre, key: [genre, price], project: []}
  - {name: by-room, key: [room]}
fields:
  - {from: ticket, type: int64}
  - {from: email, type: string}
  - {from: copy, type: uuid}
  - {from: state, type: string}
  - {from: reader, type: string}
  - {from: due, type: date}
  - {from: genre, type: string}
  - {from: price, type: decimal128}
  - {from: room, type: int32}
  - {from: version, type: int64}
computed: [{attribute: readerState, template: "{reader}#{state}"}]
ttl: {field: forgotten, attribute: expires}
versionField: version
outbox: {field: _outbox, table: loans-outbox}
`

// Store is what the cases use of a store. *entity.Store is one.
type Store interface {
	Plan() *plan.Plan
	Version(doc bson.Raw) int64
	Get(ctx context.Context, id any) (bson.Raw, error)
	GetMany(ctx context.Context, ids ...any) ([]bson.Raw, error)
	ByUnique(ctx context.Context, values bson.D) (bson.Raw, error)
	Query(ctx context.Context, q entity.Query) ([]bson.Raw, string, error)
	Create(ctx context.Context, doc bson.Raw, o entity.Options) (entity.Written, error)
	Update(ctx context.Context, id any, change func(current bson.Raw) (bson.Raw, error), o entity.Options) (entity.Written, error)
	Delete(ctx context.Context, id any, o entity.Options) (entity.Written, error)
}

// Config is the entity to try. Plan is required.
type Config struct {
	// Plan is the entity's.
	Plan *plan.Plan
	// Document makes the document of a number, which fits, with another _id and other unique
	// values for each. Default: what the plan says of its fields.
	Document func(n int) bson.D
	// MongoDB is the URI of a replica set to use instead of the sandbox.
	MongoDB string
	// DynamoDB is the client of a service to use instead of the sandbox.
	DynamoDB *awsdynamodb.Client
	// Through makes what the cases of Run use instead of a process's store, such as a client of a
	// server that has the store. It ends with the test. A client does not know the version of a
	// document that it makes: to Options.Tell it says 1. The contract of an owner, which is about
	// grants within the process, is skipped.
	Through func(t testing.TB, s *entity.Store) Store
	// Seed is that of what is random. Default: another one each time.
	Seed uint64
}

func (c Config) withDefaults() Config {
	for c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Document == nil {
		c.Document = documents(c.Plan)
	}
	return c
}

// Run tries every case in subtests, and the contract of an owner.
func Run(t *testing.T, cfg Config) {
	cfg = cfg.withDefaults()
	t.Run("the contract of an owner", func(t *testing.T) {
		if cfg.Through != nil {
			t.Skip("it is about grants within the process")
		}
		contract(t, cfg)
	})
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run("owned by "+string(owner), func(t *testing.T) {
			alone(t, cfg)
			w := newWorld(t, cfg)
			w.setOwner(t, owner)
			for i, c := range cases() {
				k := w.newKit(t, i, owner)
				if all := c.of(k); len(all) > 0 {
					t.Run(c.name, all[0])
				}
			}
		})
	}
	t.Run("across changes of the owner", func(t *testing.T) { across(t, cfg) })
}

// across runs the stages of all cases one after the other, with a change of owner between.
func across(t *testing.T, cfg Config) {
	alone(t, cfg)
	w := newWorld(t, cfg)
	var all []stages
	for i, c := range cases() {
		k := w.newKit(t, i, "")
		all = append(all, c.of(k))
	}
	for n, when := range []string{"before", "behind a cut-over", "behind a rollback"} {
		switch n {
		case 1:
			w.beginMigration(t)
			w.changeOwner(t)
		case 2:
			w.changeOwner(t)
		}
		t.Run(when, func(t *testing.T) {
			for i, c := range cases() {
				if n < len(all[i]) {
					t.Run(c.name, all[i][n])
				}
			}
		})
		if t.Failed() { // what follows would only say so again
			return
		}
	}
}

// stages are what a case does: the first, and what goes on behind each change of the owner.
type stages []func(*testing.T)

type testCase struct {
	name string
	of   func(*kit) stages
}

func cases() []testCase {
	return []testCase{
		{"documents are kept as they are", (*kit).types},
		{"documents from before the service", (*kit).old},
		{"versions", (*kit).versions},
		{"get many", (*kit).getMany},
		{"what cannot be", (*kit).invalid},
		{"documents that do not fit", (*kit).misfits},
		{"unique values", (*kit).unique},
		{"one of many gets a unique value", (*kit).uniqueRace},
		{"deleted and made anew", (*kit).anew},
		{"what was made is made again", (*kit).repeated},
		{"no update is lost", (*kit).updates},
		{"answers that are lost", (*kit).unanswered},
		{"events", (*kit).events},
		{"queries by index", (*kit).queries},
		{"all documents", (*kit).list},
		{"expired documents", (*kit).expired},
		{"writes wait while they are held", (*kit).held},
	}
}

// kit is what a case works with: two processes of the service, and documents of its own.
type kit struct {
	w     *world
	a, b  *instance
	owner ownership.Store // "" where it changes
	last  int             // number of a document
}

// casesDocuments is how many documents one case has at most.
const casesDocuments = 1000

func (w *world) newKit(t *testing.T, n int, owner ownership.Store) *kit {
	t.Helper()
	if w.instances == nil {
		for range 2 {
			w.instances = append(w.instances, w.newInstance(t, network{link: &linktest.Link{}}))
		}
	}
	return &kit{w: w, a: w.instances[0], b: w.instances[1], owner: owner, last: (n + 1) * casesDocuments}
}

// document is one that no other case has, with some fields more.
func (k *kit) document(t *testing.T, more ...bson.E) bson.Raw {
	t.Helper()
	k.last++
	doc := k.w.cfg.Document(k.last)
	for _, e := range append(bson.D{{Key: valueField, Value: fmt.Sprint("as made ", k.last)}}, more...) {
		doc = put(doc, []string{e.Key}, e.Value)
	}
	return marshal(t, doc)
}

// valueField is a field that the cases change.
const valueField = "entitytest"
