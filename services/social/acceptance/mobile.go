package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

// Mobile runs the cases of the old mobile API, as a mobile client sees it: also
// through a proxy, and whichever side answers.
func Mobile(t *testing.T, api Target) {
	reach(t, api, knownMobile)
	for name, test := range map[string]func(run, Target){
		"accounts": accounts, "old timeline": oldTimeline, "strangers": strangers,
	} {
		t.Run(name, func(t *testing.T) { test(newRun(t), api) })
	}
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

// register makes an account; if an answer was lost the account is there, and logging
// in finds it.
func (r run) register(api Target, who string) account {
	r.t.Helper()
	a := account{password: r.password()}
	got := ask(r.t, api, request{method: "POST", path: "/api/v1/users", body: object(map[string]any{"display_name": r.name(who), "mail": r.email(who), "password": a.password})})
	if got.status == http.StatusConflict {
		got = r.login(api, who, a.password)
	} else {
		r.expect("register", got, http.StatusCreated, `"status":"ok"`)
	}
	var body accountBody
	got.read(r.t, &body)
	a.ID, a.token = body.Data.User.ID, body.Data.Token
	ask(r.t, api, request{method: "PUT", path: "/api/v1/users/me", token: a.token, body: object(map[string]any{"about": r.mark()})})
	return a
}

func (r run) login(api Target, who, password string) reply {
	return ask(r.t, api, request{method: "POST", path: "/api/v1/login", body: object(map[string]any{"mail": r.email(who), "password": password})})
}

// follow makes a follow b until the end of the test. It returns where the event is.
func (r run) follow(api Target, a, b account) string {
	r.t.Helper()
	got := ask(r.t, api, request{method: "PUT", path: "/api/v1/follow/" + b.ID, token: a.token})
	r.expect("follow", got, http.StatusOK, `"following":true`)
	r.t.Cleanup(func() {
		undo := request{method: "DELETE", path: "/api/v1/follow/" + b.ID, token: a.token}
		if got, err := once(context.Background(), api, undo); err != nil || got.status != http.StatusOK {
			r.t.Errorf("the follow could not be taken back: %d, %v", got.status, err)
		}
	})
	return got.header.Get(events.HeaderWritten)
}

// post returns the id of a post. A repeated one would be a second post.
func (r run) post(api Target, by account, text string) string {
	r.t.Helper()
	got := ask(r.t, api, request{method: "POST", path: "/api/v1/posts", token: by.token, body: object(map[string]any{"text": text + ", " + r.mark()})})
	r.expect("post", got, http.StatusCreated, text)
	var body struct {
		Data struct {
			Post struct {
				ID string `json:"post_id"`
			} `json:"post"`
		} `json:"data"`
	}
	got.read(r.t, &body)
	return body.Data.Post.ID
}

func accounts(r run, api Target) {
	ada := r.register(api, "ada")
	got := r.login(api, "ada", ada.password)
	r.expect("log in", got, http.StatusOK, ada.ID, `"status":"ok"`)
	r.expect("log in wrongly", r.login(api, "ada", "no"), http.StatusUnauthorized, `"status":"error"`, `"unauthorized"`)
	again := ask(r.t, api, request{method: "POST", path: "/api/v1/users", body: object(map[string]any{"display_name": "x", "mail": r.email("ada"), "password": "p"})})
	r.expect("register again", again, http.StatusConflict, `"mail_taken"`)
	renamed := ask(r.t, api, request{method: "PUT", path: "/api/v1/users/me", token: ada.token, body: object(map[string]any{"display_name": r.name("countess")})})
	r.expect("rename", renamed, http.StatusOK, r.name("countess"))
	read := request{method: "GET", path: "/api/v1/users/" + ada.ID, token: ada.token, header: map[string]string{}}
	if at := renamed.header.Get(events.HeaderWritten); at != "" {
		read.header[events.HeaderReadAfter] = at
	}
	r.expect("read one's write", ask(r.t, api, read), http.StatusOK, r.name("countess"))
}

func oldTimeline(r run, api Target) {
	ada, bob := r.register(api, "ada"), r.register(api, "bob")
	r.follow(api, ada, bob)
	first, second := r.post(api, bob, "first"), r.post(api, bob, "second")
	read := func(ctx context.Context) error {
		var page struct {
			Data struct {
				Posts []struct {
					ID   string `json:"post_id"`
					Name string `json:"author_name"`
				} `json:"posts"`
			} `json:"data"`
		}
		got, err := once(ctx, api, request{method: "GET", path: "/api/v1/timeline", token: ada.token})
		if err != nil || got.status != http.StatusOK {
			return fmt.Errorf("status %d: %.200s: %w", got.status, got.body, err)
		}
		got.read(r.t, &page)
		if p := page.Data.Posts; len(p) != 2 || p[0].ID != second || p[1].ID != first || p[0].Name != r.name("bob") {
			return fmt.Errorf("the timeline is %+v", p)
		}
		return nil
	}
	Eventually(r.t, "both posts, the newer first", read)
}

func strangers(r run, api Target) {
	ada := r.register(api, "ada")
	for what, token := range map[string]string{"no token": "", "a wrong token": "a.b.c", "a changed token": ada.token[:len(ada.token)-3] + "AAA"} {
		got := ask(r.t, api, request{method: "GET", path: "/api/v1/timeline", token: token})
		r.expect(what, got, http.StatusUnauthorized, `"unauthorized"`)
	}
	nobody := ask(r.t, api, request{method: "GET", path: "/api/v1/users/000000000000000000000000", token: ada.token})
	r.expect("a profile of nobody", nobody, http.StatusNotFound, `"not_found"`)
}
