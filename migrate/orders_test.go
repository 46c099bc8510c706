package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/preflight"
)

const ordersPlan = `
entity: orders
source: {collection: orders}
target: {table: orders, key: {attribute: order, type: mixed}}
unique:
  - {fields: [tenant, invoice], where: [{field: status, equals: paid}], table: orders-invoice}
indexes:
  - {name: by-tenant, key: [tenant, placed]}
  - {name: by-status, key: [tenantStatus, total], project: [placed]}
computed: [{attribute: tenantStatus, template: "{tenant}#{status}"}]
ttl: {field: placed, after: 720h, attribute: expires}
fields:
  - {from: tenant, type: string}
  - {from: placed, to: placedAt, type: date}
  - {from: total, type: decimal128}
  - {from: notes, compressed: true}
  - {from: cache, drop: true}
acknowledge: [ttl-unique]
`

func order(id any, n int, status string) bson.D {
	total, _ := bson.ParseDecimal128(fmt.Sprintf("%d.50", n))
	return bson.D{{Key: "_id", Value: id}, {Key: "tenant", Value: fmt.Sprint("tenant", n%3)}, {Key: "invoice", Value: []any{n, fmt.Sprint(n)}[n%2]},
		{Key: "status", Value: status}, {Key: "placed", Value: time.Now().Add(time.Duration(n) * time.Hour).UTC().Truncate(time.Millisecond)},
		{Key: "total", Value: total}, {Key: "notes", Value: strings.Repeat("note ", 100)}, {Key: "cache", Value: strings.Repeat("c", 1000)},
		{Key: "lines", Value: bson.A{bson.D{{Key: "sku", Value: "x"}, {Key: "price", Value: 0.1}}}}}
}

// orderID is compound, as those of before are texts, numbers and ObjectIds.
func orderID(n int) any {
	switch n % 4 {
	case 0:
		return float64(n)
	case 1:
		return fmt.Sprint("order-", n)
	case 2:
		return userID(n)
	}
	return bson.D{{Key: "tenant", Value: fmt.Sprint("tenant", n%3)}, {Key: "no", Value: int32(n)}}
}

// TestAStrangersEntity: orders with compound and mixed identifiers, exact amounts, a partial
// unique index on two fields and a TTL index are planned, encapsulated, copied, followed,
// verified, switched and completed.
func TestAStrangersEntity(t *testing.T) {
	const orders = 80
	w := newWorld(t)
	w.planned(ordersPlan)
	w.createOrders(orders)
	r, err := preflight.Run(w.ctx, preflight.Config{Plan: w.plan, DB: w.db, DynamoDB: w.ddb}, func(m preflight.Misfit) { t.Errorf("%+v", m) })
	for _, f := range r.Findings {
		if f.Blocks() {
			t.Error(f)
		}
	}
	if err != nil || r.Documents != orders {
		t.Fatal(r, err)
	}
	w.encapsulate()
	small := func(c *migrate.Config) { c.RangeSize, c.ChunkSize = 10, 4 }
	if err := w.engine(small).Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	stop := background(w.ctx, func(ctx context.Context) error { return w.engine(small).Run(ctx, migrate.RunOptions{}) })
	for n := range orders / 2 { // their status changes, so that they leave the constraint and enter it
		status := []string{"paid", "open"}[n%2]
		set := bson.D{{Key: "$set", Value: bson.D{{Key: "status", Value: status}}}}
		if _, err := w.users.UpdateOne(w.ctx, bson.D{{Key: "_id", Value: orderID(n)}}, set); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.users.DeleteOne(w.ctx, bson.D{{Key: "_id", Value: orderID(3)}}); err != nil {
		t.Fatal(err)
	}
	w.mustSwitch(w.engine(small))
	_ = stop()
	w.follow()
	w.mustHoldExactly()
	w.mustHoldOrders()
	if _, err := w.engine().Complete(w.ctx, migrate.CompleteOptions{Wait: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	table := "orders"
	out, err := w.ddb.DescribeTimeToLive(w.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &table})
	if err != nil || *out.TimeToLiveDescription.AttributeName != "expires" {
		t.Errorf("%+v, %v", out, err)
	}
}

func (w *world) createOrders(n int) {
	w.t.Helper()
	paid := bson.D{{Key: "status", Value: "paid"}}
	_, err := w.users.Indexes().CreateMany(w.ctx, []mongo.IndexModel{
		{Keys: bson.D{{Key: "tenant", Value: 1}, {Key: "invoice", Value: 1}}, Options: options.Index().SetUnique(true).SetPartialFilterExpression(paid)},
		{Keys: bson.D{{Key: "placed", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(720 * 3600)},
		{Keys: bson.D{{Key: "tenant", Value: 1}, {Key: "placed", Value: -1}}}})
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range n {
		w.insert(order(orderID(i), i, []string{"open", "paid"}[i%2]))
	}
}

// mustHoldOrders checks what stands beside the documents: entries, indexes, times, and
// nothing of what is dropped.
func (w *world) mustHoldOrders() {
	w.t.Helper()
	paid, byStatus := map[string]bool{}, map[string]int{}
	for _, item := range w.scan("orders") {
		if isTombstone(item) {
			continue
		}
		tenant, status := dynamo.StringOf(item, "tenant"), dynamo.StringOf(item, "status")
		byStatus[tenant+"#"+status]++
		if status == "paid" {
			invoice := dynamo.StringOf(item, "invoice")
			if n, ok := item["invoice"].(*types.AttributeValueMemberN); ok {
				invoice = "number:" + n.Value
			}
			paid["tenant+invoice#"+tenant+"#"+invoice+" "+dynamo.StringOf(item, "order")] = true
		}
		placed, err := time.Parse(time.RFC3339, dynamo.StringOf(item, "placedAt"))
		expires, _ := dynamo.IntOf(item, "expires")
		if left := time.Unix(expires, 0).Sub(placed.Add(720 * time.Hour)); err != nil || left < 0 || left >= time.Second || item["cache"] != nil {
			w.t.Errorf("%v: %v, %v", item, left, err)
		}
	}
	for _, entry := range w.scan("orders-invoice") {
		if name := dynamo.StringOf(entry, "value") + " " + dynamo.StringOf(entry, "owner"); !paid[name] {
			w.t.Errorf("the entry %q is of no paid order", name)
		} else {
			delete(paid, name)
		}
	}
	if len(paid) > 0 {
		w.t.Errorf("without an entry: %v", paid)
	}
	for value, want := range byStatus {
		if got := w.query("by-status", value); len(got) != want || !slices.IsSortedFunc(got, func(a, b codec.Item) int {
			x, _ := bson.ParseDecimal128(a["total"].(*types.AttributeValueMemberN).Value)
			y, _ := bson.ParseDecimal128(b["total"].(*types.AttributeValueMemberN).Value)
			return strings.Compare(fmt.Sprintf("%20s", x), fmt.Sprintf("%20s", y))
		}) {
			w.t.Errorf("the index has %d of %s, want %d in the order of their totals", len(got), value, want)
		}
	}
}

func (w *world) query(index, value string) []codec.Item {
	w.t.Helper()
	table, where := "orders", "tenantStatus = :v"
	out, err := w.ddb.Query(w.ctx, &dynamodb.QueryInput{TableName: &table, IndexName: &index, KeyConditionExpression: &where,
		ExpressionAttributeValues: map[string]types.AttributeValue{":v": dynamo.String(value)}})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Items
}

// TestAStrangersEntityThereAndBack: what a service wrote to the table is in MongoDB after a
// rollback, under the same identifiers, be they of another numeric type; what the table never
// had is there still; and a second switch needs no copy.
func TestAStrangersEntityThereAndBack(t *testing.T) {
	const orders = 40
	w := newWorld(t)
	w.planned(ordersPlan)
	w.createOrders(orders)
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	run := background(w.ctx, func(ctx context.Context) error { return w.engine().Run(ctx, migrate.RunOptions{}) })
	w.verified()
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	w.setStatus("number:8", "tenant2", "void")
	w.setStatus(`document:{"tenant":"tenant2","no":11}`, "tenant2", "void") // was paid, and gives up its invoice
	entries := "orders-invoice"
	invoice := codec.Item{"value": dynamo.String("tenant+invoice#tenant2#11")}
	if _, err := w.ddb.DeleteItem(w.ctx, &dynamodb.DeleteItemInput{TableName: &entries, Key: invoice}); err != nil {
		t.Fatal(err)
	}
	w.putOrder("number:12", nil) // deleted
	w.putOrder("number:16", nil)
	again := codec.Item{"tenant": dynamo.String("tenant1"), "status": dynamo.String("open"), "tenantStatus": dynamo.String("tenant1#open")}
	w.putOrder("number:16", again) // an int32 now, the double of before is gone
	w.putOrder("new", again)
	w.verified()
	if _, err := w.rollBack(); err != nil {
		t.Fatal(err)
	}
	w.follow()
	w.mustHoldExactly()
	for _, c := range []struct {
		id    any
		there bool
		cache int // bytes of the field that is dropped
	}{{8, true, 1000}, {orderID(11), true, 1000}, {12, false, 0}, {16, true, 0}, {"new", true, 0}} {
		var doc struct{ Status, Cache string }
		err := w.users.FindOne(w.ctx, bson.D{{Key: "_id", Value: c.id}}).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) == c.there || err != nil && c.there || len(doc.Cache) != c.cache {
			t.Errorf("%v: %+v, %v", c.id, doc, err)
		}
	}
	w.verified()
	if _, err := w.cutOver(); err != nil {
		t.Fatal(err)
	}
	_ = run()
	w.follow()
	w.mustHoldExactly()
}

func (w *world) epoch() types.AttributeValue { return dynamo.Int(w.phase().Epoch) }

// setStatus is the owning service's update of an order.
func (w *world) setStatus(key, tenant, status string) {
	w.t.Helper()
	table, update := "orders", "SET #s = :s, tenantStatus = :t, #b.#e = :e"
	_, err := w.ddb.UpdateItem(w.ctx, &dynamodb.UpdateItemInput{TableName: &table, Key: codec.Item{"order": dynamo.String(key)}, UpdateExpression: &update,
		ExpressionAttributeNames:  map[string]string{"#s": "status", "#b": stamp.Attribute, "#e": stamp.Epoch},
		ExpressionAttributeValues: codec.Item{":s": dynamo.String(status), ":t": dynamo.String(tenant + "#" + status), ":e": w.epoch()}})
	if err != nil {
		w.t.Fatal(err)
	}
}

// putOrder is the owning service's creation of an order, or its tombstone.
func (w *world) putOrder(key string, fields codec.Item) {
	w.t.Helper()
	table, item := "orders", codec.Item{"order": dynamo.String(key)}
	own := codec.Item{stamp.Epoch: w.epoch()}
	if fields == nil {
		own[stamp.Tombstone] = dynamo.Bool(true)
	}
	maps.Copy(item, fields)
	item[stamp.Attribute] = &types.AttributeValueMemberM{Value: own}
	if _, err := w.ddb.PutItem(w.ctx, &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		w.t.Fatal(err)
	}
}
