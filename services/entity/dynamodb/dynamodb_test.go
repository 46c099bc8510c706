package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/dynamodb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const keyByID = `
entity: notes
source: {collection: notes}
target: {table: notes, key: {type: string}}
versionField: version
fields: [{from: author, type: string}, {from: slug, type: string}, {from: at, type: int32}, {from: version, type: int64}]
unique: [{field: slug, table: notes-slugs}, {fields: [author, title], table: notes-titles}]
indexes: [{name: by-author, key: [author, at]}, {name: by-author-only, key: [author], project: [slug]}]
computed: [{attribute: shelf, template: "{author}#{at}"}]
ttl: {field: until, attribute: expires}
outbox: {table: notes-outbox}
`

// keyByTemplate is a plan of which a note moves with its author.
var keyByTemplate = strings.NewReplacer("key: {type: string}", `key: {type: string, template: "{author}#{_id}", attribute: pk}`,
	"unique: [", "unique: [{field: _id, table: notes-ids}, ").Replace(keyByID)

// world is a backend on tables of its own.
type world struct {
	testing.TB
	*dynamodb.Backend
	client *awsdynamodb.Client
	plan   *plan.Plan
}

func newWorld(t testing.TB, text string) world {
	t.Helper()
	p, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	t.Cleanup(server.Close)
	url := server.URL
	if peer := os.Getenv("BANYAN_CONFORMANCE_DYNAMODB"); peer != "" {
		url = peer
	}
	client := awsdynamodb.New(awsdynamodb.Options{Region: "eu-west-1", BaseEndpoint: &url, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider(fmt.Sprintf("test%d", time.Now().UnixNano()), "local", "")})
	for _, in := range p.TableInputs() {
		if _, err := client.CreateTable(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	w := world{TB: t, Backend: dynamodb.New(client, p), client: client, plan: p}
	if err := w.EnsureOutbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func under(epoch int64) ownership.Grant {
	return ownership.Grant{Owner: ownership.DynamoDB, Epoch: epoch}
}

// doc reads extended JSON.
func doc(t testing.TB, text string) bson.Raw {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatal(err)
	}
	raw, err := bson.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// note has an id, an author, a slug and a version, and what else is given.
func note(t testing.TB, id, author, slug string, version int, more ...string) bson.Raw {
	return doc(t, fmt.Sprintf(`{"_id": %q, "author": %q, "slug": %q, %s "version": {"$numberLong": "%d"}}`,
		id, author, slug, strings.Join(append(more, ""), ","), version))
}

func value(t testing.TB, v any) bson.RawValue {
	kind, b, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: kind, Value: b}
}

func (w world) write(epoch int64, before, after bson.Raw, told ...events.Event) error {
	w.Helper()
	change := entity.Write{Before: before, After: after, Events: told}
	send := w.Replace
	switch {
	case before == nil:
		send = w.Insert
	case after == nil:
		send = w.Delete
	}
	_, err := send(w.Context(), under(epoch), change)
	return err
}

func (w world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w world) expect(err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Errorf("error = %v, want %v", err, want)
	}
}

// is checks what there is of an id, nil for nothing.
func (w world) is(id string, want bson.Raw) {
	w.Helper()
	docs, err := w.Get(w.Context(), under(2), value(w, id))
	w.must(err)
	if want == nil && len(docs) == 0 || want != nil && len(docs) == 1 && string(docs[0]) == string(want) {
		return
	}
	w.Errorf("%s is %v, want %v", id, docs, want)
}

// bySlug checks which note has a slug, "" for none.
func (w world) bySlug(slug, want string) {
	w.Helper()
	constraint := slices.IndexFunc(w.plan.Unique, func(u plan.Unique) bool { return u.Field == "slug" })
	found, err := w.ByUnique(w.Context(), under(2), constraint, doc(w, fmt.Sprintf(`{"slug": %q}`, slug)))
	w.must(err)
	if id, _ := found.Lookup("_id").StringValueOK(); id != want {
		w.Errorf("the slug %q is %q's, want %q", slug, id, want)
	}
}

func (w world) all(table string) []dynamo.Item {
	w.Helper()
	out, err := w.client.Scan(w.Context(), &awsdynamodb.ScanInput{TableName: &table})
	w.must(err)
	return out.Items
}

// TestLifeOfADocument: made, changed, moved, deleted and made anew, with its unique values; by a
// key of its id, and by one that changes.
func TestLifeOfADocument(t *testing.T) {
	for name, text := range map[string]string{"key by id": keyByID, "key by template": keyByTemplate} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, text)
			first := note(t, "a", "ann", "one", 1, `"n": {"$numberDecimal": "1.50"}`, `"old": 1.0`, `"at": 3`)
			w.must(w.write(2, nil, first))
			w.is("a", first)
			w.bySlug("one", "a")
			w.expect(w.write(2, nil, note(t, "a", "bob", "two", 1)), entity.ErrExists)
			w.expect(w.write(2, nil, note(t, "b", "bob", "one", 1)), entity.ErrTaken)

			second := note(t, "a", "ann", "one", 2, `"n": {"$numberDecimal": "1.5"}`, `"new": {"$date": "2026-01-02T03:04:05Z"}`, `"old": 1.0`, `"at": 4`)
			w.must(w.write(2, first, second))
			w.is("a", second)
			w.expect(w.write(2, first, second), entity.ErrChanged)

			third := note(t, "a", "bob", "two", 3, `"at": 4`)
			w.must(w.write(2, second, third))
			w.is("a", third)
			w.bySlug("one", "")
			w.bySlug("two", "a")
			_, err := w.client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: aws.String("notes-slugs"),
				Item: dynamo.Item{"value": dynamo.String("slug#left over"), "owner": w.all("notes-slugs")[0]["owner"]}})
			w.must(err)
			w.bySlug("left over", "")
			w.must(w.write(2, nil, note(t, "b", "bob", "one", 1, `"title": "t"`)))
			w.expect(w.write(2, third, note(t, "a", "bob", "two", 4, `"title": "t"`)), entity.ErrTaken)
			// What was a double once is a 32-bit integer by now, and neither needs a hint, nor does the item in between.
			back := doc(t, `{"_id": "a", "author": "ann", "slug": "three", "version": {"$numberLong": "4"}, "old": 1}`)
			w.must(w.write(2, third, back))
			w.is("a", back)

			w.must(w.write(2, back, nil))
			w.is("a", nil)
			w.bySlug("three", "")
			w.expect(w.write(2, back, nil), entity.ErrChanged)
			w.expect(w.write(2, back, third), entity.ErrChanged)
			var deleted *entity.DeletedError
			if err := w.write(2, nil, note(t, "a", "eve", "three", 1)); !errors.As(err, &deleted) || deleted.Version != 5 {
				t.Errorf("made anew with version 1: %v", err)
			}
			w.must(w.write(2, nil, note(t, "a", "ann", "three", 6)))
			w.bySlug("three", "a")
		})
	}
}

// TestEpochs: everything that is written carries the epoch, and nothing of a later one is replaced.
func TestEpochs(t *testing.T) {
	w := newWorld(t, keyByID)
	one := note(t, "a", "ann", "one", 1)
	w.must(w.write(4, nil, one))
	w.expect(w.write(2, nil, one), ownership.ErrFenced)
	w.expect(w.write(2, nil, note(t, "b", "ann", "one", 1)), ownership.ErrFenced)
	w.expect(w.write(2, one, note(t, "a", "ann", "one", 2)), ownership.ErrFenced)
	w.expect(w.write(2, one, note(t, "a", "ann", "two", 2)), ownership.ErrFenced)
	w.expect(w.write(2, one, nil), ownership.ErrFenced)
	w.must(w.write(6, one, note(t, "a", "ann", "two", 2)))
	for _, table := range []string{"notes", "notes-slugs"} {
		for _, item := range w.all(table) {
			if stamp.Of(item).Epoch != 6 {
				t.Errorf("%s has %v", table, item)
			}
		}
	}
}

// TestMigratedItems: of what the migration wrote, what the service does not know is kept, also
// among the stamps; an item that somebody put by hand gets its first ones.
func TestMigratedItems(t *testing.T) {
	w := newWorld(t, keyByID)
	stamps := dynamo.Item{"t": dynamo.Int(77), "e": dynamo.Int(1), "x": dynamo.String("others'"),
		"h": &types.AttributeValueMemberM{Value: dynamo.Item{"/old": dynamo.String("double")}}}
	for id, reserved := range map[string]types.AttributeValue{"a": &types.AttributeValueMemberM{Value: stamps}, "hand": nil} {
		item := dynamo.Item{"id": dynamo.String(id), "slug": dynamo.String(id), "old": dynamo.Int(1)}
		if reserved != nil {
			item["_banyan"] = reserved
		}
		_, err := w.client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: aws.String("notes"), Item: item})
		w.must(err)
		docs, err := w.Get(t.Context(), under(2), value(t, id))
		w.must(err)
		after := append(slices.Clone(docs[0][:len(docs[0])-1]), doc(t, `{"version": {"$numberLong": "1"}}`)[4:]...)
		after[0] = byte(len(after))
		w.must(w.write(2, docs[0], after))
		w.is(id, after)
	}
	for _, item := range w.all("notes") {
		is := item["_banyan"].(*types.AttributeValueMemberM).Value
		if stamp.Of(item).Epoch != 2 || dynamo.StringOf(item, "id") == "a" && (!reflect.DeepEqual(is["t"], stamps["t"]) || !reflect.DeepEqual(is["x"], stamps["x"])) {
			t.Errorf("%v", item)
		}
	}
}

// TestWideDocument: a change of more attributes than an update takes.
func TestWideDocument(t *testing.T) {
	w := newWorld(t, keyByID)
	wide := func(version, from int) bson.Raw {
		d := bson.D{{Key: "_id", Value: "a"}}
		for i := range 400 {
			d = append(d, bson.E{Key: fmt.Sprint("f", from+i), Value: i + version})
		}
		raw, err := bson.Marshal(append(d, bson.E{Key: "version", Value: int64(version)}))
		w.must(err)
		return raw
	}
	w.must(w.write(2, nil, wide(1, 0)))
	w.must(w.write(2, wide(1, 0), wide(2, 200)))
	w.is("a", wide(2, 200))
}

// TestExpired: what has expired is absent, and gives way, with its unique values; also where
// DynamoDB has deleted the item.
func TestExpired(t *testing.T) {
	for name, text := range map[string]string{"key by id": keyByID, "key by template": keyByTemplate} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, text)
			past := `"until": {"$date": "2020-01-01T00:00:00Z"}`
			w.must(w.write(2, nil, note(t, "a", "ann", "one", 1, past, `"title": "t"`)))
			w.is("a", nil)
			w.bySlug("one", "")
			w.expect(w.write(2, nil, note(t, "b", "bob", "one", 1)), entity.ErrChanged) // the first attempt frees it
			w.must(w.write(2, nil, note(t, "b", "bob", "one", 1)))
			w.bySlug("one", "b")
			w.must(w.write(2, nil, note(t, "c", "ann", "two", 1, past)))
			w.expect(w.write(2, nil, note(t, "c", "ann", "two", 1)), entity.ErrChanged)
			var deleted *entity.DeletedError
			if err := w.write(2, nil, note(t, "c", "ann", "two", 1)); !errors.As(err, &deleted) {
				t.Errorf("made anew with the version of what has expired: %v", err)
			}
			w.must(w.write(2, nil, note(t, "c", "ann", "two", 3)))

			gone := note(t, "d", "dan", "four", 1, `"title": "t"`)
			w.must(w.write(2, nil, gone))
			item, _, err := w.plan.Fit(gone)
			w.must(err)
			c := w.plan.Codec()
			_, err = w.client.DeleteItem(t.Context(), &awsdynamodb.DeleteItemInput{TableName: aws.String("notes"), Key: c.KeyItem(c.KeyOf(item))})
			w.must(err)
			w.is("d", nil)
			w.bySlug("four", "")
			again := note(t, "e", "eve", "four", 1)
			w.expect(w.write(2, nil, again), entity.ErrChanged)
			w.must(w.write(2, nil, again))
			w.bySlug("four", "e")
		})
	}
}

// TestEvents: the events of a write are there exactly when it is, in the order of the versions.
func TestEvents(t *testing.T) {
	w := newWorld(t, keyByID)
	n := 0
	tell := func() events.Event {
		n++
		return events.Event{ID: fmt.Sprintf("id-%d", 9-n), Source: "/t", Type: "t.t", Version: 1, Subject: "note/a", Time: time.Now().UTC(),
			PartitionKey: "a", Sequence: fmt.Sprintf("%020d", n), Data: []byte(`{}`)}
	}
	one, two := note(t, "a", "ann", "one", 1), note(t, "a", "ann", "one", 2)
	left, err := w.Insert(t.Context(), under(2), entity.Write{After: one, Events: []events.Event{tell()}})
	if err != nil || len(left.Own) != 1 || len(left.Before) > 0 || left.Unread {
		t.Fatalf("Insert = %+v, %v", left, err)
	}
	w.expect(w.write(2, nil, one, tell()), entity.ErrExists)
	w.expect(w.write(1, one, two, tell()), ownership.ErrFenced)
	left, err = w.Replace(t.Context(), under(2), entity.Write{Before: one, After: two, Events: []events.Event{tell()}})
	if err != nil || len(left.Own) != 1 || len(left.Before) != 1 {
		t.Fatalf("Replace = %+v, %v", left, err)
	}
	w.must(w.write(2, two, nil, tell()))
	w.must(w.write(2, nil, note(t, "a", "ann", "one", 4), tell()))
	gone := entity.Write{Before: note(t, "a", "ann", "one", 4), Events: []events.Event{tell()}, Final: true}
	if _, err = w.Delete(t.Context(), under(2), gone); err != nil {
		t.Fatal(err)
	}
	if left := slices.Concat(w.all("notes"), w.all("notes-slugs")); len(left) > 0 {
		t.Errorf("left behind what was deleted for good: %v", left)
	}
	var deleted *entity.DeletedError
	_, err = w.Insert(t.Context(), under(2), entity.Write{After: one, Events: []events.Event{tell()}, Final: true})
	if !errors.As(err, &deleted) || deleted.Version != 5 {
		t.Errorf("made anew before what waits was published: %v", err)
	}
	waiting, err := w.Waiting(value(t, "a"))
	w.must(err)
	entries, err := w.Box().Waiting(t.Context(), waiting.Place)
	var order []string
	for _, e := range entries {
		order = append(order, strings.TrimLeft(e.ID[:20], "0"))
	}
	if err != nil || !slices.Equal(order, []string{"1", "2", "3", "4", "5"}) {
		t.Errorf("waiting: %v, %v", order, err)
	}
}

// pages reads a query to its end, two documents a page, and returns their ids, and the number of pages.
func (w world) pages(q entity.Page) (ids []string, pages int) {
	w.Helper()
	q.Limit = 2
	for {
		out, err := w.Page(w.Context(), under(2), q)
		w.must(err)
		for _, d := range out.Docs {
			ids = append(ids, d.Lookup("_id").StringValue())
		}
		if pages++; out.Next.IsZero() {
			return ids, pages
		}
		after, err := entity.ParseCursor(out.Next.String())
		w.must(err)
		q.After = after
	}
}

// TestPages: each document once, in order, whatever stands between them, and behind cursors of MongoDB's.
func TestPages(t *testing.T) {
	w := newWorld(t, keyByID)
	for i := range 6 { // two of each sort key
		w.must(w.write(2, nil, note(t, fmt.Sprint("n", i), "ann", fmt.Sprint("s", i), 1, fmt.Sprintf(`"at": %d`, i/2))))
		dead := note(t, fmt.Sprint("d", i), "ann", fmt.Sprint("d", i), 1, fmt.Sprintf(`"at": %d`, i/2))
		w.must(w.write(2, nil, dead))
		w.must(w.write(2, dead, nil))
	}
	w.must(w.write(2, nil, note(t, "other", "bob", "x", 1, `"at": 1`)))
	ann := value(t, "ann")
	sorted := func(ids []string, _ int) string { slices.Sort(ids); return strings.Join(ids, " ") }
	inOrder := func(ids []string, n int) string {
		for i := 0; i+1 < len(ids); i += 2 {
			slices.Sort(ids[i : i+2]) // of one sort key
		}
		return fmt.Sprint(strings.Join(ids, " "), ", ", n)
	}
	mongodbs := entity.Cursor{Sort: value(t, int32(1)), ID: value(t, "n2")}
	there := entity.Cursor{ID: value(t, "n3"), Same: []bson.RawValue{value(t, "n5")}}
	for name, c := range map[string]struct{ got, want string }{
		"all":               {sorted(w.pages(entity.Page{Index: -1})), "n0 n1 n2 n3 n4 n5 other"},
		"all from MongoDB":  {sorted(w.pages(entity.Page{Index: -1, After: entity.Cursor{ID: value(t, "n3")}})), "n4 n5 other"},
		"by index":          {inOrder(w.pages(entity.Page{Equal: ann})), "n0 n1 n2 n3 n4 n5, 3"},
		"backwards":         {inOrder(w.pages(entity.Page{Equal: ann, Descending: true})), "n4 n5 n2 n3 n0 n1, 3"},
		"from":              {inOrder(w.pages(entity.Page{Equal: ann, From: value(t, 1.0)})), "n2 n3 n4 n5, 2"},
		"below":             {inOrder(w.pages(entity.Page{Equal: ann, Below: value(t, int64(2))})), "n0 n1 n2 n3, 2"},
		"between":           {inOrder(w.pages(entity.Page{Equal: ann, From: value(t, 1), Below: value(t, 2)})), "n2 n3, 1"},
		"nothing between":   {inOrder(w.pages(entity.Page{Equal: ann, From: value(t, 2), Below: value(t, 1)})), ", 1"},
		"from MongoDB":      {sorted(w.pages(entity.Page{Equal: ann, After: mongodbs})), "n3 n4 n5"},
		"back from MongoDB": {sorted(w.pages(entity.Page{Equal: ann, After: mongodbs, Descending: true})), "n0 n1"},
		"without a sort":    {sorted(w.pages(entity.Page{Index: 1, Equal: ann})), "n0 n1 n2 n3 n4 n5"},
		"without, MongoDB":  {sorted(w.pages(entity.Page{Index: 1, Equal: ann, After: there})), "n4"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", name, c.got, c.want)
		}
	}
	for _, after := range []entity.Cursor{{ID: value(t, 5)}, {Key: doc(t, `{"at": "{}"}`)}, {Key: doc(t, `{"at": 1}`)},
		{Key: doc(t, `{"at": "{\"id\":{\"X\":\"n1\"}}"}`)}} {
		_, err := w.Page(t.Context(), under(2), entity.Page{Index: -1, Limit: 2, After: after})
		w.expect(err, entity.ErrCursor)
	}
	_, err := w.Page(t.Context(), under(2), entity.Page{Equal: value(t, 1), Limit: 2})
	w.expect(err, entity.ErrInvalid)
}

// TestPageAmongTombstones: one page reads so much at most, and the next goes on.
func TestPageAmongTombstones(t *testing.T) {
	w := newWorld(t, keyByID)
	for from := range 240 {
		var batch []types.WriteRequest
		for i := range 25 {
			batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: dynamo.Item{"id": dynamo.String(fmt.Sprint(from, "-", i)),
				"_banyan": &types.AttributeValueMemberM{Value: dynamo.Item{stamp.Epoch: dynamo.Int(2), stamp.Tombstone: dynamo.Bool(true)}}}}})
		}
		_, err := w.client.BatchWriteItem(t.Context(), &awsdynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"notes": batch}})
		w.must(err)
	}
	w.must(w.write(2, nil, note(t, "a", "ann", "one", 1)))
	if ids, pages := w.pages(entity.Page{Index: -1}); fmt.Sprint(ids) != "[a]" || pages < 2 {
		t.Errorf("%v on %d pages", ids, pages)
	}
}

// TestMissingTables: the error says who makes them.
func TestMissingTables(t *testing.T) {
	w := newWorld(t, keyByID)
	p, err := plan.Parse("plan.yaml", []byte(strings.ReplaceAll(keyByID, "table: notes", "table: absent")))
	w.must(err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := dynamodb.New(w.client, p).Get(ctx, under(2), value(t, "a")); err == nil || !strings.Contains(err.Error(), "which the migration makes") {
		t.Errorf("error = %v", err)
	}
}
