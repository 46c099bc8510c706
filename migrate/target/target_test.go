package target_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/dynamo"
	dynamodbserver "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const peoplePlan = "entity: people\nsource: {collection: people}\ntarget:\n  table: people\n  key: {type: string}\n" +
	"unique:\n  - {field: email, table: people-email}\n"

// freePlan is that of people of whom several may have one e-mail.
const freePlan = "entity: people\nsource: {collection: people}\ntarget:\n  table: people\n  key: {type: string}\n"

// movingPlan is that of people whose key changes with most versions.
const movingPlan = "entity: people\nsource: {collection: people}\ntarget:\n  table: people\n  key: {type: string, template: \"{part}#{_id}\"}\n" +
	"unique:\n  - {field: email, table: people-email}\n  - {field: _id, table: people-ids}\n"

// world is the tables of peoplePlan, over the wire.
type world struct {
	*testing.T
	*target.Tables
	client *dynamodb.Client
	ahead  atomic.Int64 // of the server's clock, in nanoseconds
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, peoplePlan, func(h http.Handler) http.Handler { return h })
}

// newWorldOf is a world with another plan of people, and something in front of the sandbox.
func newWorldOf(t *testing.T, text string, front func(http.Handler) http.Handler) *world {
	t.Helper()
	w := &world{T: t}
	server := httptest.NewServer(front(dynamodbserver.New(dynamodbserver.Config{Region: "eu-west-1", Now: func() time.Time {
		return time.Now().Add(time.Duration(w.ahead.Load()))
	}})))
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(server.Close)
	endpoint := cmp.Or(os.Getenv("BANYAN_CONFORMANCE_DYNAMODB"), server.URL) // infra/sandbox/conformance/dynamodb-local.sh
	t.Cleanup(transport.CloseIdleConnections)
	w.client = dynamodb.New(dynamodb.Options{Region: "eu-west-1", BaseEndpoint: &endpoint, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	p, err := plan.Parse("people.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	w.Tables = &target.Tables{Plan: p, Client: w.client}
	if _, err := w.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if endpoint != server.URL { // it has what the test before left
		w.empty()
	}
	return w
}

// version is a document at one time: its e-mail, "" for none, or no document at all.
type version struct {
	at      stamp.ClusterTime
	email   string
	deleted bool
}

func (w *world) document(id string, v version) bson.Raw {
	w.Helper()
	doc := bson.D{{Key: "_id", Value: id}, {Key: "at", Value: int64(v.at)}}
	if v.email != "" {
		doc = append(doc, bson.E{Key: "email", Value: v.email})
	}
	if w.Plan.Lookup() >= 0 {
		doc = append(doc, bson.E{Key: "part", Value: partOf(v)})
	}
	raw, err := bson.Marshal(doc)
	if err != nil {
		w.Fatal(err)
	}
	return raw
}

// partOf is what the key of a version is made of, under movingPlan.
func partOf(v version) string { return fmt.Sprint("p#", v.at%3) }

// keyOf is the key of a version's item as text.
func (w *world) keyOf(id string, v version) string {
	if w.Plan.Lookup() < 0 {
		return id
	}
	return strings.ReplaceAll(partOf(v), "#", "%23") + "#" + id
}

// idOf is the _id that an item's key leads to.
func (w *world) idOf(item codec.Item) string {
	w.Helper()
	id, err := w.Plan.Codec().ID(item)
	if err != nil {
		w.Fatal(err)
	}
	return id.StringValue()
}

// version is a document as of a time, which may be earlier than its own.
func (w *world) version(id string, v version, at stamp.ClusterTime) side.Version {
	w.Helper()
	out := side.Version{Doc: w.document(id, v), At: at}
	out.ID = out.Doc.Lookup("_id")
	if v.deleted {
		out.Doc = nil
	}
	return out
}

func (w *world) apply(id string, v version) {
	w.Helper()
	if err := w.Apply(w.Context(), w.version(id, v, v.at)); err != nil {
		w.Fatalf("apply %s %+v: %v", id, v, err)
	}
}

func (w *world) scan(table string) []codec.Item {
	w.Helper()
	out, err := w.client.Scan(w.Context(), &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	if err != nil || out.LastEvaluatedKey != nil {
		w.Fatal("one page is expected", err)
	}
	return out.Items
}

// empty removes all items and entries.
func (w *world) empty() {
	w.Helper()
	for _, in := range w.Plan.TableInputs() {
		table, key := *in.TableName, *in.KeySchema[0].AttributeName
		for _, item := range w.scan(table) {
			if _, err := w.client.DeleteItem(w.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: codec.Item{key: item[key]}}); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// mustHold checks that items and unique entries are exactly those of the versions.
func (w *world) mustHold(want map[string]version) {
	w.Helper()
	owners, moves := map[string]string{}, w.Plan.Lookup() >= 0
	for id, v := range want {
		if v.email != "" && !v.deleted {
			owners["email#"+v.email] = w.keyOf(id, v)
		}
	}
	live := map[string]bool{}
	for _, item := range w.scan("people") {
		id, s := w.idOf(item), stamp.Of(item)
		v := want[id]
		content, _ := dynamo.IntOf(item, "at")
		if moves && s.Tombstone {
			continue // in the place that a document has left
		}
		if live[id] || dynamo.StringOf(item, "id") != w.keyOf(id, v) {
			w.Errorf("%s is %v a second time, or elsewhere than %q", id, item, w.keyOf(id, v))
		}
		if s.Tombstone != v.deleted || !v.deleted && (dynamo.StringOf(item, "email") != v.email || stamp.ClusterTime(content) != v.at) {
			w.Errorf("%s is %v, want %+v", id, item, v)
		}
		live[id] = !s.Tombstone
	}
	for id, v := range want {
		if live[id] == v.deleted {
			w.Errorf("%s: exists %v, want %+v", id, live[id], v)
		}
	}
	if len(w.Plan.Unique) == 0 {
		return
	}
	entries := w.scan("people-email")
	for _, entry := range entries {
		value := dynamo.StringOf(entry, "value")
		if got := dynamo.StringOf(entry, "owner"); got != owners[value] || len(entry) != 3 {
			w.Errorf("the entry %v, want the owner %q alone", entry, owners[value])
		}
	}
	if len(entries) != len(owners) {
		w.Errorf("%d unique entries, want %v", len(entries), owners)
	}
	if moves {
		w.mustLookUp(want)
	}
}

// mustLookUp checks that the entry of each document names its item, or is a tombstone.
func (w *world) mustLookUp(want map[string]version) {
	w.Helper()
	for _, entry := range w.scan("people-ids") {
		id := strings.TrimPrefix(dynamo.StringOf(entry, "value"), "_id#")
		v, there := want[id]
		there = there && !v.deleted // what was deleted before it was copied has an entry alone
		owner := ""
		if there {
			owner = w.keyOf(id, v)
		}
		if got := dynamo.StringOf(entry, "owner"); got != owner || stamp.Of(entry).Tombstone == there {
			w.Errorf("the entry of %s is %v, want the owner %q", id, entry, owner)
		}
	}
	bad, err := w.verified()
	if err != nil || len(bad) > 0 {
		w.Errorf("misplaced are %v, %v", bad, err)
	}
}

// verified scans for what a verification finds without the documents.
func (w *world) verified() (bad []side.Mismatch, err error) {
	whole := side.Segment{N: 0, Of: 1}
	err = errors.Join(
		w.ScanIDs(w.Context(), whole, func(_ context.Context, _ []bson.RawValue, _ int, misplaced []side.Mismatch) error {
			bad = append(bad, misplaced...)
			return nil
		}),
		w.ScanUnique(w.Context(), whole, func(_ context.Context, _ int, leftover []side.Mismatch) error {
			bad = append(bad, leftover...)
			return nil
		}))
	return bad, err
}
