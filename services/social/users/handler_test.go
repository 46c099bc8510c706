package users_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ned   = "59b99db4cfa9a34dcd7885b6"
	robb  = "59b99db4cfa9a34dcd7885b7"
	other = "59b99db4cfa9a34dcd7885b8"
)

type api struct {
	t      *testing.T
	at     *userstest.Instance
	http   *http.Client
	stream *userstest.Stream
	db     *mongo.Database
}

func newAPI(t *testing.T, owner ownership.Store) *api {
	t.Helper()
	tables := userstest.Dynamo(t)
	stream := userstest.NewStream(t)
	if owner == ownership.DynamoDB {
		userstest.Tables(t, tables)
		own(t, ownership.NewTable(tables, ""))
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	db := userstest.Mongo(t)
	return &api{t, userstest.NewInstance(t, db, tables, stream.Publisher), &http.Client{Transport: transport}, stream, db}
}

// own makes DynamoDB the owner from the beginning.
func own(t *testing.T, control *ownership.Table) {
	t.Helper()
	if err := control.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := control.Load(t.Context(), "users")
	if err == nil {
		_, err = control.Update(t.Context(), r, func(r *ownership.Record) {
			r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

type request struct {
	method, path, body string
	header             map[string]string
}

func put(id, body string) request { return request{method: "PUT", path: "/v1/users/" + id, body: body} }

func patch(id, body, ifMatch string) request {
	return request{method: "PATCH", path: "/v1/users/" + id, body: body, header: map[string]string{"If-Match": ifMatch}}
}

func authenticate(body string) request {
	return request{method: "POST", path: "/v1/users/authenticate", body: body}
}

func plainText(r request) request {
	r.header = map[string]string{"Content-Type": "text/plain"}
	return r
}

func (a *api) do(r request) (*http.Response, string) {
	a.t.Helper()
	req, err := http.NewRequest(r.method, a.at.URL+r.path, strings.NewReader(r.body))
	if err != nil {
		a.t.Fatal(err)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	res, err := a.http.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res, string(text)
}

const nedBody = `{"name":"Ned","email":"ned@x.y","password":"winter","createdAt":"2020-01-02T03:04:05.006Z"}`

// TestStatusCodes goes through the API in one order, on either store.
func TestStatusCodes(t *testing.T) {
	steps := []struct {
		name   string
		r      request
		status int
		has    string // in the body
		header [2]string
	}{
		{"create", put(ned, nedBody), 201,
			`{"id":"` + ned + `","name":"Ned","email":"ned@x.y","bio":"","version":1,"createdAt":"2020-01-02T03:04:05.006Z"}`, [2]string{"ETag", `"1"`}},
		{"create again", put(ned, nedBody), 200, `"version":1`, [2]string{}},
		{"id taken", put(ned, `{"name":"N","email":"else@x.y","password":"p"}`), 409, "/problems/id-taken", [2]string{}},
		{"e-mail taken", put(robb, nedBody), 409, "/problems/email-taken", [2]string{}},
		{"create another", put(robb, `{"name":"Robb","email":"robb@x.y","password":"p","bio":"King"}`), 201, `"bio":"King"`, [2]string{}},
		{"bad id", request{method: "PUT", path: "/v1/users/123", body: nedBody}, 400, "24 lower-case hex digits", [2]string{}},
		{"no password", put(other, `{"name":"N","email":"a@b"}`), 400, "password", [2]string{}},
		{"long password", put(other, `{"name":"N","email":"a@b","password":"`+strings.Repeat("x", 73)+`"}`), 400, "72 bytes", [2]string{}},
		{"bad e-mail", put(other, `{"name":"N","email":"a b","password":"p"}`), 400, "email", [2]string{}},
		{"unknown field", put(other, `{"nam":"N"}`), 400, "nam", [2]string{}},
		{"not JSON", put(other, `{`), 400, "/problems/invalid", [2]string{}},
		{"cut off", request{method: "PUT", path: "/v1/users/" + other, body: nedBody[:20]}, 400, "ends in the middle", [2]string{}},
		{"no object", put(other, `null`), 400, "one JSON object", [2]string{}},
		{"wrong type", put(other, `{"name":["N"]}`), 400, "name cannot be a JSON array", [2]string{}},
		{"deep", request{method: "PUT", path: "/v1/users/" + other, body: `{"name":` + strings.Repeat("[", 30000) + `}`}, 400, "depth", [2]string{}},
		{"not UTF-8", put(other, "{\"name\":\"\xff\",\"email\":\"a@b\",\"password\":\"p\"}"), 400, "not UTF-8", [2]string{}},
		{"NUL", put(other, `{"name":"a\u0000","email":"a@b","password":"p"}`), 400, "without NUL", [2]string{}},
		{"year 10000", put(other, `{"name":"N","email":"a@b","password":"p","createdAt":"9999-12-31T23:59:59-23:59"}`), 400, "createdAt must be", [2]string{}},
		{"year 1969", put(other, `{"name":"N","email":"a@b","password":"p","createdAt":"1970-01-01T00:00:00+00:01"}`), 400, "createdAt must be", [2]string{}},
		{"upper-case id", request{method: "PUT", path: "/v1/users/" + strings.ToUpper(ned), body: nedBody}, 400, "lower-case", [2]string{}},
		{"id of NULs", request{method: "GET", path: "/v1/users/%00%2e%2e"}, 400, "lower-case", [2]string{}},
		{"broken query", request{method: "GET", path: "/v1/users?ids=%zz"}, 400, "query", [2]string{}},
		{"two objects", request{method: "PUT", path: "/v1/users/" + other, body: nedBody + nedBody}, 400, "after the object", [2]string{}},
		{"too large", put(other, `{"name":"`+strings.Repeat("x", 70000)+`"}`), 413, "65536 bytes", [2]string{}},
		{"media type", plainText(put(other, nedBody)), 415, "application/json", [2]string{}},
		{"get", request{method: "GET", path: "/v1/users/" + ned}, 200, `"name":"Ned"`, [2]string{"ETag", `"1"`}},
		{"get unchanged", request{method: "GET", path: "/v1/users/" + ned, header: map[string]string{"If-None-Match": `"1"`}}, 304, "", [2]string{}},
		{"get nobody", request{method: "GET", path: "/v1/users/" + other}, 404, "/problems/not-found", [2]string{"Content-Type", "application/problem+json"}},
		{"get many", request{method: "GET", path: "/v1/users?ids=" + robb + "," + other + "," + ned}, 200, `{"users":[{"id":"` + robb, [2]string{}},
		{"get a bad id", request{method: "GET", path: "/v1/users?ids=" + robb + ",x"}, 400, "24 lower-case", [2]string{}},
		{"get too many", request{method: "GET", path: "/v1/users?ids=" + strings.Repeat(ned+",", 100) + ned}, 400, "at most 100", [2]string{}},
		{"list", request{method: "GET", path: "/v1/users?limit=1"}, 200, `"nextCursor":`, [2]string{}},
		{"list limit", request{method: "GET", path: "/v1/users?limit=501"}, 400, "limit", [2]string{}},
		{"list cursor", request{method: "GET", path: "/v1/users?cursor=nonsense"}, 400, "/problems/cursor", [2]string{}},
		{"patch", patch(ned, `{"bio":"Hand"}`, `"1"`), 200, `"bio":"Hand","version":2`, [2]string{"ETag", `"2"`}},
		{"patch again", patch(ned, `{"bio":"Hand"}`, `"1"`), 200, `"version":2`, [2]string{}},
		{"patch stale", patch(ned, `{"bio":"X"}`, `"1"`), 412, "/problems/version", [2]string{}},
		{"patch weak", patch(ned, `{"bio":"X"}`, `W/"2"`), 400, "If-Match", [2]string{}},
		{"patch nothing", request{method: "PATCH", path: "/v1/users/" + ned, body: `{}`}, 400, "nothing to change", [2]string{}},
		{"patch nobody", request{method: "PATCH", path: "/v1/users/" + other, body: `{"bio":"X"}`}, 404, "/problems/not-found", [2]string{}},
		{"authenticate", authenticate(`{"email":"ned@x.y","password":"winter"}`), 200, ned, [2]string{}},
		{"wrong password", authenticate(`{"email":"ned@x.y","password":"summer"}`), 401, "/problems/credentials", [2]string{}},
		{"unknown e-mail", authenticate(`{"email":"no@x.y","password":"winter"}`), 401, "/problems/credentials", [2]string{}},
		{"long e-mail", authenticate(`{"email":"` + strings.Repeat("x", 5000) + `@x.y","password":"winter"}`), 401, "/problems/credentials", [2]string{}},
		{"delete stale", request{method: "DELETE", path: "/v1/users/" + ned, header: map[string]string{"If-Match": `"1"`}}, 412, "/problems/version", [2]string{}},
		{"delete", request{method: "DELETE", path: "/v1/users/" + ned, header: map[string]string{"If-Match": `"2"`}}, 204, "", [2]string{}},
		{"delete again", request{method: "DELETE", path: "/v1/users/" + ned}, 404, "/problems/not-found", [2]string{}},
		{"get who left", request{method: "GET", path: "/v1/users/" + ned}, 404, "/problems/not-found", [2]string{}},
		{"authenticate who left", authenticate(`{"email":"ned@x.y","password":"winter"}`), 401, "/problems/credentials", [2]string{}},
		{"e-mail free again", put(other, nedBody), 201, `"email":"ned@x.y"`, [2]string{"ETag", `"1"`}},
		{"method", request{method: "POST", path: "/v1/users/" + ned}, 405, "/problems/method", [2]string{"Allow", "DELETE, GET, HEAD, PATCH, PUT"}},
		{"path", request{method: "GET", path: "/v2/users"}, 404, "/problems/no-route", [2]string{}},
	}
	for _, owner := range []ownership.Store{ownership.MongoDB, ownership.DynamoDB} {
		t.Run(string(owner), func(t *testing.T) {
			a := newAPI(t, owner)
			for _, s := range steps {
				res, body := a.do(s.r)
				if res.StatusCode != s.status || !strings.Contains(body, s.has) {
					t.Errorf("%s: %d %s; want %d with %s", s.name, res.StatusCode, body, s.status, s.has)
				}
				if s.header[0] != "" && res.Header.Get(s.header[0]) != s.header[1] {
					t.Errorf("%s: header %s = %q, want %q", s.name, s.header[0], res.Header.Get(s.header[0]), s.header[1])
				}
				if s.status < 300 && (s.r.method == "PUT" || s.r.method == "PATCH" || s.r.method == "DELETE") {
					if p, err := events.ParsePosition(res.Header.Get(events.HeaderWritten)); err != nil || p == (events.Position{}) {
						t.Errorf("%s: header %s = %v, %v", s.name, events.HeaderWritten, p, err)
					}
				}
				if strings.Contains(body, "$2a$") {
					t.Errorf("%s: the answer shows a password hash: %s", s.name, body)
				}
			}
			a.checkEvents()
		})
	}
}

// checkEvents compares the stream with what TestStatusCodes wrote, in its order;
// repeated writes tell again.
func (a *api) checkEvents() {
	a.t.Helper()
	var told []string
	for _, e := range a.stream.Events() {
		told = append(told, e.Type+" "+e.PartitionKey)
		if strings.Contains(string(e.Data), "@") || strings.Contains(string(e.Data), "$2a$") {
			a.t.Errorf("an event has an e-mail or a hash: %s", e.Data)
		}
	}
	want := []string{
		"user.joined " + ned, "user.joined " + ned,
		"user.joined " + robb, "user.profile-updated " + robb,
		"user.profile-updated " + ned, "user.profile-updated " + ned,
		"user.left " + ned, "user.joined " + other,
	}
	if strings.Join(told, ", ") != strings.Join(want, ", ") {
		a.t.Errorf("told %q, want %q", told, want)
	}
}

func TestHeldWriteWaitsAndReadsContinue(t *testing.T) {
	a := newAPI(t, ownership.MongoDB)
	a.do(put(ned, nedBody))
	r, err := a.at.Control.Load(t.Context(), "users")
	if err != nil {
		t.Fatal(err)
	}
	r, err = a.at.Control.Update(t.Context(), r, func(r *ownership.Record) { r.Hold, r.Phase = true, ownership.Switching })
	if err == nil {
		err = a.at.Control.AwaitAck(t.Context(), "users", r.Revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	body, send := io.Pipe()
	late := httptest.NewRequestWithContext(t.Context(), "PATCH", "/v1/users/"+ned, body)
	late.Header.Set("Content-Type", "application/json")
	go func() {
		rec := httptest.NewRecorder()
		a.at.Handler.ServeHTTP(rec, late)
		answered <- rec.Code
	}()
	if _, err := io.WriteString(send, `{"bio":"late"}`); err != nil { // it has been read
		t.Error(err)
	}
	_ = send.Close()
	if res, _ := a.do(request{method: "GET", path: "/v1/users/" + ned}); res.StatusCode != http.StatusOK {
		t.Errorf("a read during the hold: %d", res.StatusCode)
	}
	select {
	case status := <-answered:
		t.Errorf("the write was answered during the hold: %d", status)
	case <-time.After(200 * time.Millisecond):
	}
	if _, err = a.at.Control.Update(t.Context(), r, func(r *ownership.Record) { r.Hold, r.Phase = false, ownership.Shadowing }); err != nil {
		t.Fatal(err)
	}
	if status := <-answered; status != http.StatusOK {
		t.Errorf("the held write: %d", status)
	}
	if s := a.at.Member.Stats(); s.WritesHeld != 1 || s.LongestHold <= 0 {
		t.Errorf("stats = %+v; want one held write", s)
	}
}

func TestListPagesThroughAll(t *testing.T) {
	a := newAPI(t, ownership.MongoDB)
	for _, id := range []string{ned, robb, other} {
		a.do(request{method: "PUT", path: "/v1/users/" + id, body: `{"name":"N","email":"` + id + `@x.y","password":"p"}`})
	}
	var seen []string
	for cursor := ""; ; {
		_, body := a.do(request{method: "GET", path: "/v1/users?limit=2&cursor=" + cursor})
		var page struct {
			Users []struct{ ID string }
			Next  string `json:"nextCursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			seen = append(seen, u.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if got, want := strings.Join(seen, " "), ned+" "+robb+" "+other; got != want {
		t.Errorf("listed %s, want %s", got, want)
	}
}

// TestAMoveHoldsWritesUntilTheRecordChanges: when the coordinator of a move has died, a
// write is answered with 503 at its deadline, long after HoldUntil; once somebody has
// finished the move, the same write is made under the new name.
func TestAMoveHoldsWritesUntilTheRecordChanges(t *testing.T) {
	a := newAPI(t, ownership.MongoDB)
	if res, body := a.do(put(ned, nedBody)); res.StatusCode != 201 {
		t.Fatalf("create: %d %s", res.StatusCode, body)
	}
	r, err := a.at.Control.Load(t.Context(), "users")
	change := func(change func(*ownership.Record)) {
		t.Helper()
		if err == nil {
			r, err = a.at.Control.Update(t.Context(), r, change)
		}
		if err == nil {
			err = a.at.Control.AwaitAck(t.Context(), "users", r.Revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const next = "users__banyan_g1"
	change(func(r *ownership.Record) { r.Generation, r.Move = 1, &ownership.Move{From: "users", To: next} })
	change(func(r *ownership.Record) { r.Hold, r.HoldUntil = true, time.Now().Add(-time.Minute) })

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	held := httptest.NewRequestWithContext(ctx, "PATCH", "/v1/users/"+ned, strings.NewReader(`{"name":"Eddard"}`))
	held.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	a.at.Handler.ServeHTTP(rec, held)
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("a held write at its deadline: %d, %v, %s", rec.Code, rec.Header(), rec.Body)
	}
	if res, body := a.do(request{method: "GET", path: "/v1/users/" + ned}); res.StatusCode != 200 || !strings.Contains(body, `"version":1`) {
		t.Errorf("a read meanwhile: %d %s", res.StatusCode, body)
	}

	err = a.db.Client().Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "renameCollection", Value: a.db.Name() + ".users"}, {Key: "to", Value: a.db.Name() + "." + next},
	}).Err()
	specs, listErr := a.db.ListCollectionSpecifications(t.Context(), bson.D{{Key: "name", Value: next}})
	if err = errors.Join(err, listErr); err != nil || len(specs) != 1 {
		t.Fatalf("rename: %v, %v", specs, err)
	}
	change(func(r *ownership.Record) {
		r.Phase, r.Collection, r.CollectionUUID = ownership.Encapsulated, next, fmt.Sprintf("%x", specs[0].UUID.Data)
		r.Move, r.Hold = nil, false
	})
	if res, body := a.do(patch(ned, `{"name":"Eddard"}`, `"1"`)); res.StatusCode != 200 {
		t.Errorf("the write afterwards: %d %s", res.StatusCode, body)
	}
	if n, err := a.db.Collection(next).CountDocuments(t.Context(), bson.D{{Key: "name", Value: "Eddard"}}); err != nil || n != 1 {
		t.Errorf("under the new name: %d documents, %v", n, err)
	}
}
