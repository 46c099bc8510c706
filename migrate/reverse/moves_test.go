package reverse_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// movingPlan is that of users whose key changes with a field.
const movingPlan = `
entity: users
source: {collection: users}
target: {table: users, key: {type: string, template: "{part}#{_id}"}}
unique: [{field: _id, table: users-ids}]
`

// move has the service of epoch 2 write a user as the contract says, in one transaction: the
// item, a tombstone in the place of the one that it leaves, and the entry. Parts are "" for
// none.
func (w *world) move(id, from, to, note string) {
	w.t.Helper()
	var all []types.TransactWriteItem
	put := func(table string, it item) {
		all = append(all, types.TransactWriteItem{Put: &types.Put{TableName: aws.String(table), Item: it}})
	}
	if from != "" && from != to {
		put("users", tombstone(from+"#"+id, 2))
	}
	if to != "" {
		put("users", user(to+"#"+id, "", 2, item{"part": text(to), "note": text(note)}))
	}
	if from != to {
		entry := item{"value": text("_id#" + id), "owner": text(to + "#" + id), stamp.Attribute: stamp.OfEpoch(2)}
		if to == "" {
			delete(entry, "owner")
			entry[stamp.Attribute] = &types.AttributeValueMemberM{Value: item{stamp.Epoch: dynamo.Int(2), stamp.Tombstone: dynamo.Bool(true)}}
		}
		put("users-ids", entry)
	}
	_, err := w.ddb.TransactWriteItems(w.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: all})
	w.must(err)
}

// A service moves items, and the two shards of a move are carried in any order: the document
// stays, and is the last one.
func TestMovesThatArriveInAnyOrder(t *testing.T) {
	w := newWorldOf(t, movingPlan)
	w.switchOwner()
	w.must(w.server.SplitShards("users", 3))
	var held atomic.Bool
	there, release := make(chan struct{}), make(chan struct{})
	slow := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
		if commandIs(c, "update", `"first"`) && held.CompareAndSwap(false, true) {
			close(there)
			<-release
		}
		return linktest.Deliver
	}}
	for i := range 12 {
		w.move(fmt.Sprint(i), "", "p", "first")
	}
	stop := w.follow(w.reverse(slow))
	defer stop()
	<-there // within the transaction of one shard
	before := w.documents()
	for i := range 12 {
		w.move(fmt.Sprint(i), "p", "q", "second")
	}
	w.eventually("another shard is ahead", func() bool {
		for id, doc := range w.documents() {
			if before[id] == nil && doc.Lookup("note").StringValue() == "second" {
				return true
			}
		}
		return false
	})
	close(release)
	w.drain()
	w.mustBeEqual()
	for i := range 12 {
		switch id := fmt.Sprint(i); i % 3 {
		case 0:
			w.move(id, "q", "", "")
		case 1:
			w.move(id, "q", "p", "back")
			w.move(id, "p", "q", "and there again")
		}
	}
	w.drain()
	w.mustBeEqual()
	if h := w.health(); h.Misfits+h.LateWrites+h.OutOfBand > 0 {
		t.Errorf("its health is %+v", h)
	}
}

// The same among shards that are split, and processes that are killed or lose commands.
func TestSimulationOfMoves(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	simulate(newWorldOf(t, movingPlan), seed, (*world).moves)
}

// moves is a service whose items move.
func (w *world) moves(rng *rand.Rand) {
	parts := map[string]string{}
	w.must(w.server.SplitShards("users", 2))
	for op := range 300 {
		id, to := fmt.Sprint(rng.IntN(6)), []string{"p", "q", "r", ""}[rng.IntN(4)]
		if from := parts[id]; from != "" || to != "" {
			w.move(id, from, to, fmt.Sprint("op ", op))
			parts[id] = to
		}
		if op == 100 || op == 200 {
			w.must(w.server.SplitShards("users", 1+rng.IntN(2)))
		}
	}
}
