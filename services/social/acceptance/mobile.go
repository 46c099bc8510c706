package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/acceptance"
)

// MobileAPI is the old API of the monolith.
var MobileAPI = acceptance.API{
	Name: "mobile", Variable: "BANYAN_ACCEPTANCE_URL_MOBILE",
	Probe: acceptance.Probe{Path: "/api/v1/timeline", Status: http.StatusUnauthorized, Contains: `"unauthorized"`},
}

// Mobile runs the cases of the old mobile API, as a mobile client sees it: also
// through a proxy, whichever side responds.
func Mobile(t *testing.T, api acceptance.Target) {
	MobileAPI.Run(t, api, cases(map[string]func(run, acceptance.Target){
		"accounts": accounts, "old timeline": oldTimeline, "strangers": strangers,
	}))
}

// account is a mobile client's.
type account struct {
	ID, token, password string
}

type accountBody struct {
	Data struct {
		User struct {
			ID   string `json:"user_id"`
			Name string `json:"display_name"`
		} `json:"user"`
		Token string `json:"token"`
	} `json:"data"`
}

// register creates an account; if a response was lost the account exists, and logging
// in finds it.
func (r run) register(api acceptance.Target, who string) account {
	r.T.Helper()
	a := account{password: r.Password()}
	got := r.Send(api, acceptance.Request{Method: "POST", Path: "/api/v1/users", Body: acceptance.JSON(map[string]any{
		"display_name": r.Name(who), "mail": r.Email(who), "password": a.password,
	})})
	if got.Status == http.StatusConflict {
		got = r.login(api, who, a.password)
	} else {
		r.Expect("register", got, http.StatusCreated, `"status":"ok"`)
	}
	var body accountBody
	got.Decode(r.T, &body)
	a.ID, a.token = body.Data.User.ID, body.Data.Token
	r.Send(api, acceptance.Request{Method: "PUT", Path: "/api/v1/users/me", Token: a.token, Body: acceptance.JSON(map[string]any{"about": r.Mark()})})
	return a
}

func (r run) login(api acceptance.Target, who, password string) acceptance.Reply {
	body := acceptance.JSON(map[string]any{"mail": r.Email(who), "password": password})
	return r.Send(api, acceptance.Request{Method: "POST", Path: "/api/v1/login", Body: body})
}

// follow makes a follow b until the end of the test. It returns where the event is.
func (r run) follow(api acceptance.Target, a, b account) string {
	r.T.Helper()
	got := r.Send(api, acceptance.Request{Method: "PUT", Path: "/api/v1/follow/" + b.ID, Token: a.token})
	r.Expect("follow", got, http.StatusOK, `"following":true`)
	r.T.Cleanup(func() {
		undo := acceptance.Request{Method: "DELETE", Path: "/api/v1/follow/" + b.ID, Token: a.token}
		if got, err := acceptance.Send(context.Background(), api, undo); err != nil || got.Status != http.StatusOK {
			r.T.Errorf("the follow could not be undone: %d, %v", got.Status, err)
		}
	})
	return got.Header.Get(events.HeaderWritten)
}

// post returns the id of a post. A repeated one would be a second post.
func (r run) post(api acceptance.Target, by account, text string) string {
	r.T.Helper()
	made := acceptance.JSON(map[string]any{"text": text + ", " + r.Mark()})
	got := r.Send(api, acceptance.Request{Method: "POST", Path: "/api/v1/posts", Token: by.token, Body: made})
	r.Expect("post", got, http.StatusCreated, text)
	var body struct {
		Data struct {
			Post struct {
				ID string `json:"post_id"`
			} `json:"post"`
		} `json:"data"`
	}
	got.Decode(r.T, &body)
	return body.Data.Post.ID
}

// unpost deletes a post.
func (r run) unpost(api acceptance.Target, by account, id string) {
	r.T.Helper()
	got := r.Send(api, acceptance.Request{Method: "DELETE", Path: "/api/v1/posts/" + id, Token: by.token})
	r.Expect("delete a post", got, http.StatusOK, `"deleted":true`)
}

func accounts(r run, api acceptance.Target) {
	ada := r.register(api, "ada")
	got := r.login(api, "ada", ada.password)
	r.Expect("log in", got, http.StatusOK, ada.ID, `"status":"ok"`)
	r.Expect("log in wrongly", r.login(api, "ada", "no"), http.StatusUnauthorized, `"status":"error"`, `"unauthorized"`)
	again := r.Send(api, acceptance.Request{Method: "POST", Path: "/api/v1/users", Body: acceptance.JSON(map[string]any{
		"display_name": "x", "mail": r.Email("ada"), "password": "p",
	})})
	r.Expect("register again", again, http.StatusConflict, `"mail_taken"`)
	renamed := r.Send(api, acceptance.Request{Method: "PUT", Path: "/api/v1/users/me", Token: ada.token, Body: acceptance.JSON(map[string]any{
		"display_name": r.Name("countess"),
	})})
	r.Expect("rename", renamed, http.StatusOK, r.Name("countess"))
	read := acceptance.Request{Method: "GET", Path: "/api/v1/users/" + ada.ID, Token: ada.token, Header: map[string]string{}}
	if at := renamed.Header.Get(events.HeaderWritten); at != "" {
		read.Header[events.HeaderReadAfter] = at
	}
	r.Expect("read one's write", r.Send(api, read), http.StatusOK, r.Name("countess"))
}

func oldTimeline(r run, api acceptance.Target) {
	ada, bob := r.register(api, "ada"), r.register(api, "bob")
	r.follow(api, ada, bob)
	first, second := r.post(api, bob, "first"), r.post(api, bob, "second")
	r.unpost(api, bob, r.post(api, bob, "third"))
	read := func(ctx context.Context) error {
		var page struct {
			Data struct {
				Posts []struct {
					ID   string `json:"post_id"`
					Name string `json:"author_name"`
				} `json:"posts"`
			} `json:"data"`
		}
		got, err := acceptance.Send(ctx, api, acceptance.Request{Method: "GET", Path: "/api/v1/timeline", Token: ada.token})
		if err != nil || got.Status != http.StatusOK {
			return fmt.Errorf("status %d: %.200s: %w", got.Status, got.Body, err)
		}
		got.Decode(r.T, &page)
		if p := page.Data.Posts; len(p) != 2 || p[0].ID != second || p[1].ID != first || p[0].Name != r.Name("bob") {
			return fmt.Errorf("the timeline is %+v", p)
		}
		return nil
	}
	r.Eventually("both posts, the newer first", read)
}

func strangers(r run, api acceptance.Target) {
	ada := r.register(api, "ada")
	for what, token := range map[string]string{"no token": "", "a wrong token": "a.b.c", "a changed token": ada.token[:len(ada.token)-3] + "AAA"} {
		got := r.Send(api, acceptance.Request{Method: "GET", Path: "/api/v1/timeline", Token: token})
		r.Expect(what, got, http.StatusUnauthorized, `"unauthorized"`)
	}
	nobody := r.Send(api, acceptance.Request{Method: "GET", Path: "/api/v1/users/000000000000000000000000", Token: ada.token})
	r.Expect("a profile of nobody", nobody, http.StatusNotFound, `"not_found"`)
}
