package preflight_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/preflight"
)

// TestOddCollection: one collection that has everything the sandbox can hold, and each of
// it is found, by its name.
func TestOddCollection(t *testing.T) {
	w := newWorld(t)
	w.run(bson.D{{Key: "create", Value: "users"}, {Key: "validator", Value: bson.D{{Key: "email", Value: bson.D{{Key: "$exists",
		Value: true}}}}},
		{Key: "validationLevel", Value: "strict"}, {Key: "changeStreamPreAndPostImages", Value: bson.D{{Key: "enabled", Value: true}}}})
	w.run(bson.D{{Key: "create", Value: "adults"}, {Key: "viewOn", Value: "users"}, {Key: "pipeline", Value: bson.A{}}})
	w.insert(user(1, bson.E{Key: "team", Value: "red"}), user(2, bson.E{Key: "nick", Value: "deuce"}))
	up := func(fields ...string) (key bson.D) {
		for _, f := range fields {
			key = append(key, bson.E{Key: f, Value: 1})
		}
		return key
	}
	unique := bson.E{Key: "unique", Value: true}
	partly := bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "email", Value: bson.D{{Key: "$exists", Value: true}}}}}
	w.createIndex("email_1", up("email"), unique)
	w.createIndex("seen_1", up("seen"), bson.E{Key: "expireAfterSeconds", Value: 3600})
	w.createIndex("name_1_age_1", up("name", "age"))
	w.createIndex("nick_1", up("nick"), unique, bson.E{Key: "sparse", Value: true})
	w.createIndex("team_1_nick_1", up("team", "nick"), unique)
	w.createIndex("phone_1", up("phone"), partly)
	w.createIndex("age_1", up("age"), bson.E{Key: "sparse", Value: true})

	got := w.look()
	got.want("validator", preflight.Acknowledge, `level "strict"`)
	got.want("pre-images", preflight.Told, "images")
	got.want("view:adults", preflight.Told, "legacy.adults")
	got.want("index:_id_", preflight.Told, "is kept")
	got.want("index:email_1", preflight.Told, "(unique index on {email}) is kept by users-unique")
	if do := got.find("index:email_1").Do; !strings.Contains(do, "sparse") {
		t.Errorf("a unique index that lets one document be without the field: do %q", do)
	}
	got.want("index:seen_1", preflight.Acknowledge, "(TTL index on {seen}) is lost")
	got.want("index:seen_1", preflight.Acknowledge, "goes on deleting in MongoDB behind a fence")
	got.want("index:name_1_age_1", preflight.Acknowledge, "(compound index on {name, age}) is lost")
	got.want("index:nick_1", preflight.Acknowledge, "(unique sparse index on {nick}) is lost")
	got.want("index:team_1_nick_1", preflight.Acknowledge, "(unique compound index on {team, nick}) is lost")
	got.want("index:phone_1", preflight.Acknowledge, "(partial index on {phone}) is lost")
	got.want("index:age_1", preflight.Acknowledge, "(sparse index on {age}) is lost")
	got.want("collection-uuid", preflight.Told, "the server accepts collectionUUID")
	got.want("view-limits", preflight.Told, "RUNBOOK")
	got.want("control-table", preflight.Told, "banyan-migrate init")
	got.wantNone("unique:")

	// A view of the same name is no collection.
	w.setPlan(strings.ReplaceAll(usersPlan, "collection: users", "collection: adults"))
	w.look().want("kind", preflight.Stops, "a view on users")
}

// TestValidatorsThatRefuseNothing are told only.
func TestValidatorsThatRefuseNothing(t *testing.T) {
	w := newWorld(t)
	w.run(bson.D{{Key: "create", Value: "users"}, {Key: "validator", Value: bson.D{{Key: "email", Value: 1}}},
		{Key: "validationAction", Value: "warn"}})
	w.look().want("validator", preflight.Told, "refuses nothing")
}

// TestUniqueFieldsOfThePlan: a constraint without an index of its own is told, and a
// partial index is none.
func TestUniqueFieldsOfThePlan(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.look().want("unique:email", preflight.Told, "create the index first")
	w.createIndex("email_1", bson.D{{Key: "email", Value: 1}}, bson.E{Key: "unique", Value: true},
		bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "age", Value: bson.D{{Key: "$gt", Value: 1}}}}})
	got := w.look()
	got.want("index:email_1", preflight.Told, "holds for all documents")
	got.want("unique:email", preflight.Told, "create the index first")
}

// setGeneration lets the ownership record say that so many generations were counted.
func (w *world) setGeneration(n int64) {
	w.t.Helper()
	owners := ownership.NewTable(w.ddb, "")
	err := owners.Ensure(w.t.Context())
	if err == nil {
		rec, _ := owners.Load(w.t.Context(), "users")
		_, err = owners.Update(w.t.Context(), rec, func(r *ownership.Record) { r.Generation = n })
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// TestNames: the names ahead must fit and be free, and a collection that has one of them
// already is found behind its view.
func TestNames(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("u", 226)
	w.run(bson.D{{Key: "create", Value: long}})
	w.setPlan(strings.ReplaceAll(usersPlan, "collection: users", "collection: "+long))
	w.look().want("name-length", preflight.Stops, "allows 255")

	w.setPlan(usersPlan)
	w.run(bson.D{{Key: "create", Value: "users__banyan_g2"}})
	w.run(bson.D{{Key: "create", Value: "users__banyan_g1"}, {Key: "viewOn", Value: "users__banyan_g2"}, {Key: "pipeline", Value: bson.A{}}})
	w.run(bson.D{{Key: "create", Value: "users"}, {Key: "viewOn", Value: "users__banyan_g1"}, {Key: "pipeline", Value: bson.A{}}})
	w.run(bson.D{{Key: "create", Value: "users__banyan_stray_g3"}})
	w.run(bson.D{{Key: "create", Value: "users__banyan_g4"}})
	w.answers["connectionStatus"] = userWith()
	w.setGeneration(4)
	got := w.look()
	got.want("encapsulated", preflight.Told, "users__banyan_g2 now")
	got.want("stray:users__banyan_stray_g3", preflight.Told, "blocks a cut-over")
	got.want("name:users__banyan_g4", preflight.Stops, "stands where")
	got.want("rights:legacy.users__banyan_g5", preflight.Stops, "insert")
	got.wantNone("kind")
	got.wantNone("name:users__banyan_g2")
	got.wantNone("name:users__banyan_stray")
	w.run(bson.D{{Key: "create", Value: "users__banyan_g5"}, {Key: "viewOn", Value: "others"}, {Key: "pipeline", Value: bson.A{}}})
	w.run(bson.D{{Key: "create", Value: "users__banyan_stray_g5"}})
	got = w.look()
	got.want("name:users__banyan_g5", preflight.Stops, "has a name that the migration would give")
	got.want("name:users__banyan_stray_g5", preflight.Stops, "it is not the migration's")
	got.wantNone("stray:users__banyan_stray_g5")
	w.run(bson.D{{Key: "drop", Value: "users"}})
	w.run(bson.D{{Key: "drop", Value: "users__banyan_g4"}})
	w.run(bson.D{{Key: "drop", Value: "users__banyan_g1"}})
	w.look().want("vacant", preflight.Stops, "legacy.users is vacant: the collection's name is users__banyan_g2")
}

func TestNoCollection(t *testing.T) {
	w := newWorld(t)
	if _, err := preflight.Look(t.Context(), w.config()); err == nil || !strings.Contains(err.Error(),
		"legacy.users does not exist; check source.collection") {
		t.Error(err)
	}
}

func (w *world) createTable(in *dynamodb.CreateTableInput) {
	w.t.Helper()
	if _, err := w.ddb.CreateTable(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(table string, item dynamo.Item) {
	w.t.Helper()
	if _, err := w.ddb.PutItem(w.t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
		w.t.Fatal(err)
	}
}

// TestTables: what a table is, and what is in it.
func TestTables(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.createControl()
	inputs := w.plan.TableInputs()
	users := inputs[0]
	users.BillingMode, users.ProvisionedThroughput = types.BillingModeProvisioned, &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(5),
		WriteCapacityUnits: aws.Int64(7)}
	users.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	w.createTable(users)
	w.createTable(&dynamodb.CreateTableInput{TableName: inputs[1].TableName, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeN}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}}})
	if _, err := w.ddb.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{TableName: aws.String("users"),
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("gone"), Enabled: aws.Bool(true)}}); err != nil {
		t.Fatal(err)
	}
	got := w.look()
	got.want("table:users", preflight.Told, "5 read and 7 write units a second, stream NEW_AND_OLD_IMAGES, deletion protection off")
	got.want("capacity:users", preflight.Told, "7 write units")
	got.want("table-ttl:users", preflight.Acknowledge, "attribute gone")
	got.want("table-key:users-unique", preflight.Stops, "it has pk (N), the plan needs value (S)")
	got.wantNone("items:")

	copied := dynamo.Item{"id": dynamo.String("1")}
	stamp.Put(copied, 1, 7, false)
	w.put("users", copied)
	w.put("users", dynamo.Item{"id": dynamo.String("a barrier"), stamp.Attribute: stamp.OfBarrier("of a process that has died")})
	w.look().want("items:users", preflight.Acknowledge, "another migration or of an abandoned one")
	owners := ownership.NewTable(w.ddb, "")
	if _, err := owners.Update(t.Context(), ownership.Record{Entity: "users", Owner: ownership.MongoDB, Epoch: 1, Phase: ownership.Legacy},
		func(r *ownership.Record) { r.Phase = ownership.Copying }); err != nil {
		t.Fatal(err)
	}
	got = w.look()
	got.want("items:users", preflight.Told, "a migration copied 2, an owning service wrote 0, and 0 are of neither")
	got.want("phase", preflight.Told, "copying")
	w.put("users", dynamo.Item{"id": dynamo.String("2")})
	w.look().want("items:users", preflight.Acknowledge, "1 are of neither")
}

// TestClaims: a collection that another control table's migration has is refused.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.createControl()
	own, err := w.ddb.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(ownership.DefaultTable)})
	if err != nil {
		t.Fatal(err)
	}
	claims := w.db.Collection("banyan_claims")
	claim := func(entity, table, id string) {
		if _, err := claims.DeleteMany(t.Context(), bson.D{}); err != nil {
			t.Fatal(err)
		}
		if _, err := claims.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "users"}, {Key: "entity", Value: entity},
			{Key: "controlTable", Value: table},
			{Key: "controlTableId", Value: id}}); err != nil {
			t.Fatal(err)
		}
	}
	got := w.look()
	got.wantNone("claim")
	got.want("members", preflight.Told, "no instance")
	arn, id := *own.Table.TableArn, *own.Table.TableId
	claim("users", arn, id)
	w.look().want("claim", preflight.Told, "by this migration")
	for _, other := range [][3]string{{"people", arn, id}, {"users", strings.Replace(arn, "us-east-1", "eu-west-1", 1), id},
		{"users", arn, "another id"}} {
		claim(other[0], other[1], other[2])
		w.look().want("claim", preflight.Stops, "AWS_REGION")
	}
	if _, err := w.ddb.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String(ownership.DefaultTable)}); err != nil {
		t.Fatal(err)
	}
	w.look().want("claim", preflight.Stops, "does not exist")
}

func TestMembers(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	member, err := ownership.Join(t.Context(), ownership.MemberConfig{Table: w.createControl(), Entity: "users", Service: "accounts"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = member.Leave(t.Context()) }()
	w.look().want("members", preflight.Told, "1 instances are registered: accounts ")
}

// TestDocuments: each document that does not fit is reported with a way out, duplicates
// and what an index of the table refuses among them; encrypted values must be acknowledged.
func TestDocuments(t *testing.T) {
	w := newWorld(t)
	w.setPlan(usersPlan + "fields: [{from: age, type: int32}]\n")
	w.insert(user(1), user(2), user(3, bson.E{Key: "age", Value: "old"}), user(4, bson.E{Key: "age", Value: int32(4)}),
		user(5, bson.E{Key: "deep", Value: bson.A{bson.D{{Key: "secret", Value: bson.Binary{Subtype: 6, Data: []byte("cipher")}}}}}),
		bson.D{{Key: "_id", Value: "no ObjectId"}, {Key: "email", Value: "x@example.com"}},
		bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: int32(7)}},
		bson.D{{Key: "_id", Value: bson.NewObjectID()}, {Key: "email", Value: 7.0}},
		bson.D{{Key: "_id", Value: bson.NewObjectID()}}, bson.D{{Key: "_id", Value: bson.NewObjectID()}})
	users := w.plan.TableInputs()[0]
	users.AttributeDefinitions = append(users.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String("age"),
		AttributeType: types.ScalarAttributeTypeN})
	users.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{IndexName: aws.String("by-age"),
		Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		KeySchema:  []types.KeySchemaElement{{AttributeName: aws.String("age"), KeyType: types.KeyTypeHash}}}}
	w.createTable(users)

	var misfits []string
	r, err := preflight.Run(t.Context(), w.config(), func(m preflight.Misfit) {
		misfits = append(misfits, fmt.Sprintf("%s: %s; %s", m.Field, m.Why, m.WayOut))
	})
	if !errors.Is(err, preflight.ErrStops) || r.Documents != 10 || r.Misfits != int64(len(misfits)) {
		t.Errorf("%+v: %v", r, err)
	}
	for _, want := range []string{"age: not what an index of the table takes as a key: it needs N, the document has S", "email: document", "_id"} {
		if !slices.ContainsFunc(misfits, func(m string) bool { return strings.Contains(m, want) }) {
			t.Errorf("%q is missing among %q", want, misfits)
		}
	}
	if len(misfits) != 3 {
		t.Errorf("%q", misfits)
	}
	got := findings{t, r.Findings}
	got.want("encrypted-values", preflight.Acknowledge, "1 documents")
	got.want("table:users", preflight.Told, "index by-age")
}

// TestAcknowledged: a plan passes when everything is listed that does not carry over, and
// says so of names that match nothing.
func TestAcknowledged(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.createIndex("name_1", bson.D{{Key: "name", Value: 1}})
	run := func() findings {
		t.Helper()
		r, err := preflight.Run(t.Context(), w.config(), nil)
		if blocked := slices.ContainsFunc(r.Findings, preflight.Finding.Blocks); blocked != errors.Is(err, preflight.ErrStops) {
			t.Errorf("blocked %v: %v", blocked, err)
		}
		return findings{t, r.Findings}
	}
	if got := run().find("index:name_1"); got == nil || got.Acknowledged || !got.Blocks() {
		t.Errorf("%+v", got)
	}
	w.setPlan(usersPlan + "acknowledge: [\"index:name_1\", \"index:name_2\"]\n")
	got := run()
	if f := got.find("index:name_1"); f == nil || !f.Acknowledged || f.Blocks() {
		t.Errorf("%+v", f)
	}
	got.want("unused:index:name_2", preflight.Told, "correct the name")
	// What stops cannot be acknowledged away.
	w.answers["listCollections"] = collectionOf("collection", bson.E{Key: "capped", Value: true})
	w.setPlan(usersPlan + "acknowledge: [\"index:name_1\", kind]\n")
	if f := run().find("kind"); f == nil || !f.Blocks() {
		t.Errorf("%+v", f)
	}
}

// TestNothingIsWritten: every request to either store is one that reads.
func TestNothingIsWritten(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1), user(2))
	w.createControl()
	w.createTable(w.plan.TableInputs()[0])
	w.mu.Lock()
	clear(w.seen)
	w.mu.Unlock()
	if _, err := preflight.Run(t.Context(), w.config(), nil); err != nil {
		t.Fatal(err)
	}
	reads := []string{"buildInfo", "getParameter", "shardingState", "listCollections", "ping", "find", "aggregate",
		"connectionStatus", "listIndexes",
		"getMore", "killCursors", "GetItem", "Query", "DescribeTable", "DescribeTimeToLive", "Scan"}
	w.mu.Lock()
	defer w.mu.Unlock()
	for operation := range w.seen {
		if !slices.Contains(reads, operation) {
			t.Errorf("%s was sent", operation)
		}
	}
	if len(w.seen) < len(reads)-2 { // getMore and killCursors depend on the sizes
		t.Errorf("only %v were sent", w.seen)
	}
}

// TestOpenTransaction: one that a client holds open is told, and how long it has been.
func TestOpenTransaction(t *testing.T) {
	w := newWorld(t)
	w.insert(user(1))
	w.look().wantNone("transactions")
	session, err := w.db.Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.Collection("users").InsertOne(mongo.NewSessionContext(t.Context(), session), user(2)); err != nil {
		t.Fatal(err)
	}
	w.look().want("transactions", preflight.Told, "1 transactions are open")
	if err := session.AbortTransaction(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.look().wantNone("transactions")
}
