package acceptance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// Users runs the cases of the users API.
func Users(t *testing.T, api Target) {
	reach(t, api, knownUsers)
	for name, test := range map[string]func(run, Target){
		"life of a user": lifeOfAUser, "versions": versions, "credentials": credentials, "finding": finding, "refusals": refusals,
	} {
		t.Run(name, func(t *testing.T) { test(newRun(t), api) })
	}
}

// person is a user as the API shows him.
type person struct {
	ID, Name, Email, Bio, CreatedAt string
	Version                         int64
}

// made is a user with what only this run knows of him.
type made struct {
	path, create, password string
	person
}

func (r run) make(api Target, who string) made {
	r.t.Helper()
	m := made{password: r.password()}
	m.ID = client.NewID(time.Now())
	m.path = "/v1/users/" + m.ID
	m.create = object(map[string]any{"name": r.name(who), "email": r.email(who), "password": m.password, "bio": r.mark()})
	got := ask(r.t, api, request{method: "PUT", path: m.path, body: m.create})
	if got.status != http.StatusOK { // which is for a repeated one
		r.expect("create", got, http.StatusCreated)
	}
	got.read(r.t, &m.person)
	return m
}

func lifeOfAUser(r run, api Target) {
	u := r.make(api, "ada")
	if u.Name != r.name("ada") || u.Email != r.email("ada") || u.Bio != r.mark() || u.Version != 1 {
		r.t.Errorf("made %+v", u.person)
	}
	again := ask(r.t, api, request{method: "PUT", path: u.path, body: u.create})
	r.expect("create again", again, http.StatusOK, `"version":1`)
	if at, err := events.ParsePosition(again.header.Get(events.HeaderWritten)); err != nil || at == (events.Position{}) {
		r.t.Errorf("a write does not tell its position: %v", err)
	}
	got := ask(r.t, api, request{method: "GET", path: u.path})
	r.expect("get", got, http.StatusOK)
	var seen person
	if got.read(r.t, &seen); seen != u.person {
		r.t.Errorf("wrote %+v, read %+v", u.person, seen)
	}
	if strings.Contains(got.body, u.password) || strings.Contains(got.body, "$2a$") {
		r.t.Error("the answer shows the password")
	}
	r.expect("get unchanged", ask(r.t, api, request{method: "GET", path: u.path, header: map[string]string{"If-None-Match": got.header.Get("ETag")}}), http.StatusNotModified)
}

func versions(r run, api Target) {
	u := r.make(api, "ada")
	change := func(name, version string) reply {
		return ask(r.t, api, request{method: "PATCH", path: u.path, body: object(map[string]any{"name": name}), header: map[string]string{"If-Match": version}})
	}
	first := change(r.name("countess"), `"1"`)
	r.expect("change", first, http.StatusOK, `"version":2`)
	if tag := first.header.Get("ETag"); tag != `"2"` {
		r.t.Errorf("ETag %s", tag)
	}
	r.expect("change again", change(r.name("countess"), `"1"`), http.StatusOK, `"version":2`)
	r.problem("change of an old version", change(r.name("other"), `"1"`), http.StatusPreconditionFailed, "version")
	r.problem("change of no version", change(r.name("other"), `W/"2"`), http.StatusBadRequest, "invalid")
	r.expect("read one's write", ask(r.t, api, request{method: "GET", path: u.path}), http.StatusOK, r.name("countess"))
}

func credentials(r run, api Target) {
	u := r.make(api, "ada")
	try := func(email, password string) reply {
		return ask(r.t, api, request{method: "POST", path: "/v1/users/authenticate", body: object(map[string]any{"email": email, "password": password})})
	}
	r.expect("log in", try(u.Email, u.password), http.StatusOK, u.ID)
	r.problem("wrong password", try(u.Email, u.password+"x"), http.StatusUnauthorized, "credentials")
	r.problem("unknown e-mail", try(r.email("nobody"), u.password), http.StatusUnauthorized, "credentials")
}

func finding(r run, api Target) {
	ada, bob := r.make(api, "ada"), r.make(api, "bob")
	nobody := client.NewID(time.Now())
	got := ask(r.t, api, request{method: "GET", path: "/v1/users?ids=" + bob.ID + "," + nobody + "," + ada.ID})
	r.expect("get many", got, http.StatusOK)
	var page struct {
		Users []person
		Next  string `json:"nextCursor"`
	}
	got.read(r.t, &page)
	if len(page.Users) != 2 || page.Users[0] != bob.person || page.Users[1] != ada.person {
		r.t.Errorf("found %+v", page.Users)
	}
	got = ask(r.t, api, request{method: "GET", path: "/v1/users?limit=1"})
	r.expect("list", got, http.StatusOK, `"nextCursor":`)
	page.Users = nil
	got.read(r.t, &page)
	first := page.Users
	if len(first) != 1 {
		r.t.Fatalf("%d users on a page of one", len(first))
	}
	got = ask(r.t, api, request{method: "GET", path: "/v1/users?limit=1&cursor=" + page.Next})
	r.expect("list on", got, http.StatusOK)
	page.Users = nil
	if got.read(r.t, &page); len(page.Users) != 1 || page.Users[0].ID == first[0].ID {
		r.t.Errorf("behind %+v comes %+v", first, page.Users)
	}
}

func refusals(r run, api Target) {
	u := r.make(api, "ada")
	body := func(name, who string) string {
		return object(map[string]any{"name": name, "email": r.email(who), "password": r.password()})
	}
	fresh := func() string { return "/v1/users/" + client.NewID(time.Now()) }
	for _, c := range []struct {
		what, method, path, body string
		status                   int
		problem                  string
	}{
		{"an e-mail that is taken", "PUT", fresh(), body("x", "ada"), http.StatusConflict, "email-taken"},
		{"an id that is taken", "PUT", u.path, body("x", "eve"), http.StatusConflict, "id-taken"},
		{"no name", "PUT", fresh(), body("", "eve"), http.StatusBadRequest, "invalid"},
		{"no JSON", "PUT", fresh(), "x", http.StatusBadRequest, "invalid"},
		{"not an id", "GET", "/v1/users/x", "", http.StatusBadRequest, "invalid"},
		{"nobody", "GET", fresh(), "", http.StatusNotFound, "not-found"},
		{"a change of nobody", "PATCH", fresh(), `{"bio":"x"}`, http.StatusNotFound, "not-found"},
		{"a change of nothing", "PATCH", u.path, `{}`, http.StatusBadRequest, "invalid"},
		{"a page of too many", "GET", "/v1/users?limit=501", "", http.StatusBadRequest, "invalid"},
		{"a cursor of nobody", "GET", "/v1/users?cursor=nonsense", "", http.StatusBadRequest, "cursor"},
		{"a method that is not", "DELETE", u.path, "", http.StatusMethodNotAllowed, "method"},
		{"a path that is not", "GET", "/v1/nowhere", "", http.StatusNotFound, "no-route"},
	} {
		r.problem(c.what, ask(r.t, api, request{method: c.method, path: c.path, body: c.body}), c.status, c.problem)
	}
}
