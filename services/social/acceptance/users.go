package acceptance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/acceptance"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// UsersAPI is the API of the users service.
var UsersAPI = acceptance.API{
	Name: "users", Variable: "BANYAN_ACCEPTANCE_URL_USERS",
	Probe: acceptance.Probe{Path: "/v1/users/x", Status: http.StatusBadRequest, Contains: `"/problems/invalid"`},
}

// Users runs the cases of the users API.
func Users(t *testing.T, api acceptance.Target) {
	UsersAPI.Run(t, api, cases(map[string]func(run, acceptance.Target){
		"life of a user": lifeOfAUser, "versions": versions, "credentials": credentials, "finding": finding, "refusals": refusals,
	}))
}

// person is a user as the API shows it.
type person struct {
	ID, Name, Email, Bio, CreatedAt string
	Version                         int64
}

// made is a user with what only this run knows.
type made struct {
	path, create, password string
	person
}

func (r run) createUser(api acceptance.Target, who string) made {
	r.T.Helper()
	m := made{password: r.Password()}
	m.ID = client.NewID(time.Now())
	m.path = "/v1/users/" + m.ID
	m.create = acceptance.JSON(map[string]any{"name": r.Name(who), "email": r.Email(who), "password": m.password, "bio": r.Mark()})
	got := r.Send(api, acceptance.Request{Method: "PUT", Path: m.path, Body: m.create})
	if got.Status != http.StatusOK { // which is for a repeated one
		r.Expect("create", got, http.StatusCreated)
	}
	got.Decode(r.T, &m.person)
	return m
}

func lifeOfAUser(r run, api acceptance.Target) {
	u := r.createUser(api, "ada")
	if u.Name != r.Name("ada") || u.Email != r.Email("ada") || u.Bio != r.Mark() || u.Version != 1 {
		r.T.Errorf("made %+v", u.person)
	}
	again := r.Send(api, acceptance.Request{Method: "PUT", Path: u.path, Body: u.create})
	r.Expect("create again", again, http.StatusOK, `"version":1`)
	if at, err := events.ParsePosition(again.Header.Get(events.HeaderWritten)); err != nil || at == (events.Position{}) {
		r.T.Errorf("a write does not return its position: %v", err)
	}
	got := r.Send(api, acceptance.Request{Method: "GET", Path: u.path})
	r.Expect("get", got, http.StatusOK)
	var seen person
	if got.Decode(r.T, &seen); seen != u.person {
		r.T.Errorf("wrote %+v, read %+v", u.person, seen)
	}
	if strings.Contains(got.Body, u.password) || strings.Contains(got.Body, "$2a$") {
		r.T.Error("the response contains the password")
	}
	ifChanged := map[string]string{"If-None-Match": got.Header.Get("ETag")}
	unchanged := r.Send(api, acceptance.Request{Method: "GET", Path: u.path, Header: ifChanged})
	r.Expect("get unchanged", unchanged, http.StatusNotModified)
}

func versions(r run, api acceptance.Target) {
	u := r.createUser(api, "ada")
	change := func(name, version string) acceptance.Reply {
		return r.Send(api, acceptance.Request{
			Method: "PATCH", Path: u.path, Body: acceptance.JSON(map[string]any{"name": name}), Header: map[string]string{"If-Match": version},
		})
	}
	first := change(r.Name("countess"), `"1"`)
	r.Expect("change", first, http.StatusOK, `"version":2`)
	if tag := first.Header.Get("ETag"); tag != `"2"` {
		r.T.Errorf("ETag %s", tag)
	}
	r.Expect("change again", change(r.Name("countess"), `"1"`), http.StatusOK, `"version":2`)
	r.ExpectProblem("change of an old version", change(r.Name("other"), `"1"`), http.StatusPreconditionFailed, "version")
	r.ExpectProblem("change of no version", change(r.Name("other"), `W/"2"`), http.StatusBadRequest, "invalid")
	r.Expect("read one's write", r.Send(api, acceptance.Request{Method: "GET", Path: u.path}), http.StatusOK, r.Name("countess"))
}

func credentials(r run, api acceptance.Target) {
	u := r.createUser(api, "ada")
	try := func(email, password string) acceptance.Reply {
		return r.Send(api, acceptance.Request{
			Method: "POST", Path: "/v1/users/authenticate", Body: acceptance.JSON(map[string]any{"email": email, "password": password}),
		})
	}
	r.Expect("log in", try(u.Email, u.password), http.StatusOK, u.ID)
	r.ExpectProblem("wrong password", try(u.Email, u.password+"x"), http.StatusUnauthorized, "credentials")
	r.ExpectProblem("unknown e-mail", try(r.Email("nobody"), u.password), http.StatusUnauthorized, "credentials")
}

func finding(r run, api acceptance.Target) {
	ada, bob := r.createUser(api, "ada"), r.createUser(api, "bob")
	nobody := client.NewID(time.Now())
	got := r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/users?ids=" + bob.ID + "," + nobody + "," + ada.ID})
	r.Expect("get many", got, http.StatusOK)
	var page struct {
		Users []person
		Next  string `json:"nextCursor"`
	}
	got.Decode(r.T, &page)
	if len(page.Users) != 2 || page.Users[0] != bob.person || page.Users[1] != ada.person {
		r.T.Errorf("found %+v", page.Users)
	}
	got = r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/users?limit=1"})
	r.Expect("list", got, http.StatusOK, `"nextCursor":`)
	page.Users = nil
	got.Decode(r.T, &page)
	first := page.Users
	if len(first) != 1 {
		r.T.Fatalf("%d users on a page of one", len(first))
	}
	got = r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/users?limit=1&cursor=" + page.Next})
	r.Expect("list on", got, http.StatusOK)
	page.Users = nil
	if got.Decode(r.T, &page); len(page.Users) != 1 || page.Users[0].ID == first[0].ID {
		r.T.Errorf("behind %+v comes %+v", first, page.Users)
	}
}

func refusals(r run, api acceptance.Target) {
	u := r.createUser(api, "ada")
	body := func(name, who string) string {
		return acceptance.JSON(map[string]any{"name": name, "email": r.Email(who), "password": r.Password()})
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
		{"a method that is not", "POST", u.path, "", http.StatusMethodNotAllowed, "method"},
		{"a path that is not", "GET", "/v1/nowhere", "", http.StatusNotFound, "no-route"},
	} {
		r.ExpectProblem(c.what, r.Send(api, acceptance.Request{Method: c.method, Path: c.path, Body: c.body}), c.status, c.problem)
	}
}
